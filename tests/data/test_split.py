"""A picture's own name decides its split, whatever lies beside the picture, unless a split would be empty."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deconv_ae.data import Source, load_dataset
from deconv_ae.data.split import which_are_for_testing
from deconv_ae.errors import InputError

NUMBERED_NAMES = {
    "digits": "{:05d}.png",
    "a camera's": "DCIM/IMG_{:04d}.JPG",
    "no leading zeros": "picture {}.webp",
    "in brackets": "holiday ({}).jpg",
    "frames": "clip7/frame{}_left.png",
}


def names_for_testing(names: list[str], split_by: str = "file") -> set[str]:
    return {name for name, is_for_testing in zip(names, which_are_for_testing(names, split_by)) if is_for_testing}


@pytest.mark.parametrize("pattern", NUMBERED_NAMES.values(), ids=NUMBERED_NAMES)
@pytest.mark.parametrize("count", [200, 223, 1000, 5003])
@pytest.mark.parametrize("first", [0, 1, 7813])
def test_a_fifth_of_numbered_pictures_is_for_testing(pattern: str, count: int, first: int) -> None:
    names = [pattern.format(number) for number in range(first, first + count)]
    assert len(names_for_testing(names)) / count == pytest.approx(0.2, abs=2 / count)


def test_share_for_testing_is_binomial_for_names_without_numbers() -> None:
    letters = np.random.default_rng(0).choice(list("abcdefghij"), (200, 200, 16))
    shares = [len(names_for_testing(["".join(name) for name in names])) / 200 for names in letters]
    # The number of names for testing has a binomial distribution; its standard deviation is 0.028 * 200.
    assert np.mean(shares) == pytest.approx(0.2, abs=3 * 0.028 / np.sqrt(200))
    assert np.std(shares) == pytest.approx(np.sqrt(0.2 * 0.8 / 200), rel=0.25)


@pytest.mark.parametrize(
    "change",
    [
        lambda names: [*names, *(f"new{number}.png" for number in range(10))],
        lambda names: [*names, *(f"{number}.png" for number in range(27, 37))],
        lambda names: names[10:],
        lambda names: names[::2],
        lambda names: [f"renamed-{name}" if number < 10 else name for number, name in enumerate(names)],
        lambda names: sorted(names, reverse=True),
        lambda names: [*names, "notes.txt", "AAA.txt"],
        lambda names: [name.replace(".png", ".JPG") for name in names],
    ],
    ids=["ten others", "next ten", "ten fewer", "half", "renamed", "in another order", "text files", "another format"],
)
def test_a_picture_stays_in_its_split(change: Callable[[list[str]], list[str]]) -> None:
    names = [f"{number}.png" for number in range(27)]
    changed = change(names)
    stems = {name.rsplit(".", 1)[0] for name in names_for_testing(names)}
    # The two test splits differ only in pictures with new names.
    for name in names_for_testing(changed) ^ {name for name in changed if name.rsplit(".", 1)[0] in stems}:
        assert name.rsplit(".", 1)[0] not in {name.rsplit(".", 1)[0] for name in names}, name


@pytest.mark.parametrize(
    ("split_by", "example_scenes"),
    [
        ("folder", [["beach/1.png", "beach/2.png", "beach/tree.png"], ["street/1.png", "street/x.png"]]),
        ("name", [["a/beach_1.png", "a/beach_2.png", "a/beach 12.png"], ["a/street(1).png", "a/street(2).png"]]),
        ("name", [["photo3_crop0.png", "photo3_crop11.png"], ["photo4_crop0.png", "photo4_crop1.jpg"]]),
    ],
)
def test_pictures_of_one_scene_stay_together(split_by: str, example_scenes: list[list[str]]) -> None:
    for copies in range(1, 40):
        scenes = [[f"{copy}/{name}" for name in scene] for copy in range(copies) for scene in example_scenes]
        test_names = names_for_testing([name for scene in scenes for name in scene], split_by)
        assert all(len(test_names.intersection(scene)) in (0, len(scene)) for scene in scenes)
        assert 0 < sum(test_names.issuperset(scene) for scene in scenes) < len(scenes)


@pytest.mark.parametrize("split_by", ["folder", "name"])
def test_a_single_group_cannot_be_divided(split_by: str) -> None:
    with pytest.raises(InputError, match=f"split_by: all 5 pictures are of one {split_by}; .*give another way"):
        which_are_for_testing([f"{number}.png" for number in range(5)], split_by)


@pytest.mark.parametrize("count", range(2, 30))
def test_each_split_has_a_picture(count: int) -> None:
    for word in ("", "x", "tree", "名"):
        names = [f"{chr(97 + number)}{word}.png" for number in range(count)]
        assert 0 < len(names_for_testing(names)) < count


def test_composed_and_decomposed_accents_give_equal_splits() -> None:
    composed, decomposed = ([f"caf{accent}{number}.png" for number in range(30)] for accent in ("\u00e9", "e\u0301"))
    assert which_are_for_testing(composed) == which_are_for_testing(decomposed)


def draw(file: Path, mode: str = "L") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (4, 4) if mode == "L" else (4, 4, 3)
    Image.fromarray(np.random.default_rng(zlib.crc32(file.name.encode())).integers(2, 256, shape, np.uint8)).save(file)


FOLDERS: dict[str, tuple[list[str], dict, tuple[int, int, int]]] = {
    # The files, how they are read, and the numbers of training pictures, test pictures and channels.
    "other files do not count": ([*(f"{n}.png" for n in range(6)), "AAA.txt"], {}, (5, 1, 1)),
    "pairs of pictures and notes": ([f"{n}.{kind}" for n in range(10) for kind in ("jpg", "xml")], {}, (8, 2, 1)),
    "splits in capitals": (["Train/a.png", "Train/b.png", "TEST/a.png"], {}, (2, 1, 1)),
    "files of file managers": (
        [*(f"{n}.png" for n in range(10)), "Thumbs.db", "desktop.ini", "@eaDir/0.png/t.png", "__MACOSX/0.png"],
        {"skip_bad_images": False},
        (8, 2, 1),
    ),
    "one picture in colour": ([*(f"{n}.png" for n in range(10)), "zz-colour.png"], {}, (9, 2, 3)),
    "all grey on request": (
        [*(f"{n}.png" for n in range(10)), "zz-colour.png"],
        {"color_mode": "grayscale"},
        (9, 2, 1),
    ),
}


@pytest.mark.parametrize(("files", "options", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_folder_has_expected_splits_and_colour(
    tmp_path: Path, files: list[str], options: dict, expected: tuple[int, int, int]
) -> None:
    for name in files:
        if name.endswith(("png", "jpg")):
            draw(tmp_path / name, "RGB" if "colour" in name else "L")
        else:
            (tmp_path / name).write_text("no picture")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir="", **{"skip_bad_images": True} | options))
    assert (len(dataset.train), len(dataset.test), dataset.image_shape[-1]) == expected


def test_another_picture_replaces_a_single_bad_test_picture(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        draw(tmp_path / name)
    (test_name,) = names_for_testing(names)
    (tmp_path / test_name).write_text("no picture")
    dataset = load_dataset(Source(f"folder:{tmp_path}", cache_dir="", skip_bad_images=True))
    assert (len(dataset.train), len(dataset.test)) == (2, 1)


def test_ignored_files_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("train/0.png", "test/0.png", "valid/0.png"):
        draw(tmp_path / name)
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"")
    load_dataset(Source(f"folder:{tmp_path}", cache_dir=""))
    assert f"ignored (system files, or outside of train and test): {tmp_path}/train/Thumbs.db, {tmp_path}/valid" in (
        capsys.readouterr().out
    )
