"""Batch size and epochs are as given, or follow from the recipe and the number of pictures."""

import itertools

import pytest

from deconv_ae.model.presets import PRESETS
from deconv_ae.model.recipes import RECIPES
from deconv_ae.training import TrainingOptions
from deconv_ae.training.schedule import schedule

FEWEST_IMAGES_OF_200_BATCHES = 199 * 128 + 1


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("images", [FEWEST_IMAGES_OF_200_BATCHES, 50_000, 60_000, 10_000_000])
def test_data_of_at_least_200_batches_keep_the_recipes_schedule(recipe: str, images: int) -> None:
    run_schedule = schedule(RECIPES[recipe], images)
    assert (run_schedule.batch_size, run_schedule.epochs) == (RECIPES[recipe].batch_size, RECIPES[recipe].epochs)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("images", [1, 2, 19, 20, 21, 50, 300, 1000, 4000, 6000])
def test_few_pictures_make_hundreds_of_steps(recipe: str, images: int) -> None:
    run_schedule = schedule(RECIPES[recipe], images)
    assert run_schedule.total_steps >= 200 * RECIPES[recipe].epochs
    assert run_schedule.steps_per_epoch >= min(images // 15, 19)
    assert run_schedule.batch_size >= 15
    assert run_schedule.epochs % RECIPES[recipe].epochs == 0


def test_more_pictures_make_no_smaller_batches_and_hardly_more_epochs() -> None:
    schedules = [schedule(RECIPES["default"], images) for images in range(1, 30_000, 13)]
    for fewer, more in itertools.pairwise(schedules):
        assert fewer.batch_size <= more.batch_size
        # Larger batches can mean fewer steps in an epoch, and so a few more epochs.
        assert fewer.epochs + 6 >= more.epochs


@pytest.mark.parametrize(
    ("arguments", "batch_size", "epochs"),
    [({}, 15, 30), ({"batch_size": 100}, 100, 201), ({"epochs": 2}, 15, 2), ({"batch_size": 7, "epochs": 0}, 7, 0)],
)
def test_missing_batch_size_and_epochs_are_filled_in(arguments: dict[str, int], batch_size: int, epochs: int) -> None:
    options = TrainingOptions(PRESETS["two_layer"].architecture, **arguments)
    assert (options.schedule(300).batch_size, options.schedule(300).epochs) == (batch_size, epochs)
    # A run may be resumed with or without the flags: on 300 images, the record is the same.
    explicit = TrainingOptions(options.architecture, batch_size=batch_size, epochs=epochs)
    assert explicit.deciding_options(300) == options.deciding_options(300)


@pytest.mark.parametrize(
    ("images", "epochs", "text"),
    [
        (300, None, "300 pictures: 20 steps an epoch, 30 epochs"),
        (60_000, None, "60,000 pictures: 469 steps an epoch, 3 epochs"),
        (1, 1, "1 picture: 1 step an epoch, 1 epoch"),
    ],
)
def test_schedule_prints_in_a_line(images: int, epochs: int | None, text: str) -> None:
    assert str(schedule(RECIPES["default"], images, epochs=epochs)) == text
