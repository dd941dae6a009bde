"""The program refuses foreign, invalid and slow requests, and answers many clients at once."""

import contextlib
import http.client
import io
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from faults.programs import SCRIPTS, RunningProgram
from PIL import Image

pytest.importorskip("uvicorn")

MODEL = SCRIPTS.parent / "saved_models" / "reference" / "cmap1_pool4"
ANSWER_SECONDS = 20
END_SECONDS = 1.0
REFUSAL_SECONDS = 3.0  # Too few to load TensorFlow.
MEGABYTE = 2**20


def png(width: int, height: int, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), 255 if mode == "L" else (255, 0, 0)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 64)
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@dataclass(frozen=True)
class Page:
    """A page of one model, and the program that serves the page."""

    program: RunningProgram
    port: int

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Sends a request, and returns the answer's status and text."""
        status, _, text = self.send(method, path, body, headers)
        return status, text.decode()

    def send(self, method, path, body=None, headers=None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Sends a request, and returns the answer's status, headers and body."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        ) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def send_raw(self, content: bytes, wait: bool = True) -> bytes:
        """Sends raw bytes and returns the answer. Without `wait`, closes the connection and returns no bytes."""
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS) as connection:
            connection.sendall(content)
            if not wait:
                return b""
            parts = []
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    parts.append(part)
            return b"".join(parts)

    @property
    def printed(self) -> tuple[str, str]:
        return self.program.read("stdout"), self.program.read("stderr")

    @property
    def memory(self) -> int:
        return _status_field(self.program.pid, "VmRSS")

    @property
    def peak_memory(self) -> int:
        return _status_field(self.program.pid, "VmHWM")


def _status_field(pid: int, name: str) -> int:
    """Returns a field of Linux's /proc/PID/status in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


@contextlib.contextmanager
def serving(directory: Path, host: str = "127.0.0.1") -> Iterator[Page]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    arguments = [f"--model={MODEL}", "--dataset=mnist_5k", f"--host={host}", f"--port={port}"]
    with RunningProgram("playground.py", arguments, directory) as program:
        assert program.wait_until(lambda: "Ctrl-C stops it" in program.read("stdout")), program.read("stderr")
        yield Page(program, port)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    directory = tmp_path_factory.mktemp("page")
    with serving(directory) as served:
        yield served
        assert served.program.running
        assert list(directory.iterdir()) == [], "the program wrote files"


@dataclass(frozen=True)
class BadRequest:
    """A request that is refused.

    Attributes:
        sentence: a part of the answer.
    """

    name: str
    path: str
    status: int
    sentence: str
    body: bytes | str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def request_with_bad_state(sentence: str, **values: str) -> BadRequest:
    body = urlencode(values)
    return BadRequest(f"show {body[:40]}", "/show", 400, sentence, body)


FOREIGN = "Only this page itself may send this request"
ELSEWHERE = {"Origin": "http://evil.example"}
OTHER_PORT = {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}
BAD_REQUESTS = [
    # From pages of other origins.
    BadRequest("upload from elsewhere", "/upload", 403, FOREIGN, png(9, 9), ELSEWHERE),
    BadRequest("upload from another port", "/upload", 403, FOREIGN, png(9, 9), OTHER_PORT),
    BadRequest("upload from a file", "/upload", 403, FOREIGN, png(9, 9), {"Origin": "null"}),
    BadRequest("upload by no-cors", "/upload", 403, FOREIGN, png(9, 9), {"Sec-Fetch-Site": "cross-site"}),
    BadRequest(
        "a form that is sent here", "/show", 403, FOREIGN, "image=1", ELSEWHERE | {"Sec-Fetch-Mode": "navigate"}
    ),
    BadRequest("show from elsewhere", "/show", 403, FOREIGN, "image=1", ELSEWHERE),
    BadRequest("show from a subdomain", "/show", 403, FOREIGN, "image=1", {"Sec-Fetch-Site": "same-site"}),
    BadRequest("open from elsewhere", "/open", 403, FOREIGN, "image=1", ELSEWHERE),
    BadRequest("https", "/show", 403, FOREIGN, "image=1", {"Origin": "https://127.0.0.1"}),
    BadRequest(
        "in a frame",
        "/",
        403,
        FOREIGN,
        None,
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        "GET",
    ),
    BadRequest(
        "as a script",
        "/page.js",
        403,
        FOREIGN,
        None,
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        "GET",
    ),
    BadRequest(
        "preflight", "/upload", 403, FOREIGN, None, ELSEWHERE | {"Access-Control-Request-Method": "POST"}, "OPTIONS"
    ),
    # To another name or another port.
    BadRequest("a foreign name", "/", 421, "is served at http://127.0.0.1:", None, {"Host": "evil.example"}, "GET"),
    BadRequest("no name", "/", 421, "is served at http://127.0.0.1:", None, {"Host": ""}, "GET"),
    BadRequest("no port", "/show", 421, "is served at http://127.0.0.1:", "image=1", {"Host": "127.0.0.1"}),
    BadRequest("another port", "/show", 421, "is served at http://127.0.0.1:", "image=1", {"Host": "127.0.0.1:9"}),
    BadRequest("a port of many digits", "/", 421, "is served at", None, {"Host": "127.0.0.1:" + "9" * 5000}, "GET"),
    BadRequest(
        "a port of other digits", "/", 421, "is served at", None, {"Host": "127.0.0.1:\u00b2".encode("latin-1")}, "GET"
    ),
    # Unknown addresses and methods.
    BadRequest("a path that is not there", "/nothing", 404, "the page is at /", None, {}, "GET"),
    BadRequest("a path upwards", "/../../etc/passwd", 404, "the page is at /", None, {}, "GET"),
    BadRequest("a path upwards, escaped", "/%2e%2e%2fpage.py", 404, "the page is at /", None, {}, "GET"),
    BadRequest("a source", "/page.py", 404, "the page is at /", None, {}, "GET"),
    BadRequest("a template", "/page.html", 404, "the page is at /", None, {}, "GET"),
    BadRequest("a path with NUL", "/%00", 404, "the page is at /", None, {}, "GET"),
    BadRequest("Gradio's queue", "/gradio_api/queue/data?session_hash=x", 404, "the page is at /", None, {}, "GET"),
    BadRequest("Gradio's upload", "/gradio_api/upload", 404, "the page is at /", png(9, 9)),
    BadRequest("GET show", "/show", 405, "does not take this method", None, {}, "GET"),
    BadRequest("GET upload", "/upload", 405, "does not take this method", None, {}, "GET"),
    BadRequest("PUT upload", "/upload", 405, "does not take this method", png(9, 9), {}, "PUT"),
    BadRequest("DELETE", "/", 405, "does not take this method", None, {}, "DELETE"),
    BadRequest("POST to the page", "/", 405, "does not take this method", "image=1"),
    # Invalid states.
    BadRequest("no query", "/show", 400, "not a query of names and values", "image"),
    BadRequest(
        "JSON",
        "/show",
        400,
        "not a query of names and values",
        json.dumps({"image": 1}),
        {"Content-Type": "application/json"},
    ),
    BadRequest("brackets", "/show", 400, "not a query of names and values", "[" * 100_000),
    BadRequest("bytes", "/show", 400, "not a query of names and values", bytes(range(256))),
    BadRequest("many values", "/show", 400, "not a query of names and values", "&".join("image=1" for _ in range(99))),
    request_with_bad_state("'nose' is an unknown name", nose="1"),
    request_with_bad_state("'<script>' is an unknown name", **{"<script>": "1"}),
    request_with_bad_state("scale: '9' is not a number from 0 to 3", scale="9"),
    request_with_bad_state("scale: '-0.5' is not a number from 0 to 3", scale="-0.5"),
    request_with_bad_state("scale: 'much'", scale="much"),
    request_with_bad_state("scale: ''", scale=""),
    request_with_bad_state("scale: 'nan'", scale="nan"),
    request_with_bad_state("scale: 'inf'", scale="inf"),
    request_with_bad_state("scale: '1_0'", scale="1_0"),
    request_with_bad_state("scale: '\\u0663'", scale="\u0663"),
    request_with_bad_state("noise: '1.01' is not a number from 0 to 1", noise="1.01"),
    request_with_bad_state("bits: '9' is not a whole number from 0 to 8", bits="9"),
    request_with_bad_state("bits: '1.5' is not a whole number", bits="1.5"),
    request_with_bad_state("bits: '99999", bits="9" * 5000),
    request_with_bad_state("dropped: '-1'", dropped="-1"),
    request_with_bad_state("switches: 'stolen' is not one of kept", switches="stolen"),
    request_with_bad_state("seed: '1000' is not a whole number from 0 to 999", seed="1000"),
    request_with_bad_state("seed: 'None'", seed="None"),
    request_with_bad_state("image: '5000' is not a whole number from 0 to 999", image="5000"),
    request_with_bad_state("image: '-1'", image="-1"),
    request_with_bad_state("picture: '!!!' is not a drawing on 28 x 28 pixels", picture="!!!"),
    request_with_bad_state("picture: 'eNoDAAAAAAE' is not a drawing", picture="eNoDAAAAAAE"),
    request_with_bad_state("pixels: 3 bytes are not a picture of 784 bytes", pixels="AAAA"),
    request_with_bad_state("pixels: 'A' is not a picture", pixels="A"),
    request_with_bad_state("erased: '1-2-3' is not model-row-column-channel", erased="1-2-3"),
    request_with_bad_state("erased: no model here has a value at 0-7-0-0", erased="0-7-0-0"),
    request_with_bad_state("erased: no model here has a value at 1-0-0-0", erased="1-0-0-0"),
    request_with_bad_state("erased: 5000 values are too many; give at most 4096", erased="_".join(["0-0-0-0"] * 5000)),
    request_with_bad_state("moved: '0-0-0-0' is not model-row-column-channel-place", moved="0-0-0-0"),
    request_with_bad_state("moved: no model here has such a window and place: 0-0-0-0-16", moved="0-0-0-0-16"),
    request_with_bad_state("upload: 'AAAA' is not a picture of 28 x 28 pixels", upload="AAAA"),
    request_with_bad_state("window: '0' is not model-row-column", window="0"),
    request_with_bad_state("window: no model here has one at 9-0-0", window="9-0-0"),
    request_with_bad_state("window: no model here has one at 0-0-0-1", window="0-0-0-1"),
    BadRequest(
        "two faults", "/show", 400, "scale: '9' is not a number from 0 to 3; bits: '9' is not", "scale=9&bits=9"
    ),
    BadRequest("a body of 2 MB", "/show", 413, "more than 1 MB", b"image=1&" * 250_000),
    BadRequest("a link of 2 MB", "/open", 413, "more than 1 MB", b"image=1&" * 250_000),
    # Invalid pictures.
    BadRequest("an upload of nothing", "/upload", 422, "This file is not a picture in a known format", b""),
    BadRequest("an upload of text", "/upload", 422, "This file is not a picture in a known format", b"no picture"),
    BadRequest("half a picture", "/upload", 422, "This file cannot be decoded", png(99, 99)[:80]),
    BadRequest(
        "a giant", "/upload", 422, "has 9,400 x 9,400 pixels; the limit is 25 million", png_that_claims(9400, 9400)
    ),
    BadRequest("a line", "/upload", 422, "has 1 x 80,000,000 pixels", png_that_claims(1, 80_000_000)),
    BadRequest("a long side", "/upload", 422, "20,000 a side", png_that_claims(20_001, 1)),
    BadRequest("11 MB", "/upload", 413, "more than 10 MB", b"\x89PNG" + bytes(11_000_000)),
    BadRequest("an unknown fit", "/upload?fit=stretch", 400, "fit: 'stretch' is not one of cropped, whole", png(9, 9)),
    BadRequest(
        "a form's upload",
        "/upload",
        422,
        "is not a picture",
        b"--x\r\n\r\n\r\n--x--",
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
]


@pytest.mark.parametrize("bad_request", BAD_REQUESTS, ids=lambda bad_request: bad_request.name)
def test_bad_request_gets_one_line_and_is_not_logged(page: Page, bad_request: BadRequest) -> None:
    before = page.printed
    status, text = page.ask(bad_request.method, bad_request.path, bad_request.body, bad_request.headers)
    assert (status, bad_request.sentence in text) == (bad_request.status, True), (status, text)
    assert text.count("\n") == 1, "one line"
    assert page.printed == before


def test_the_table_of_bad_requests_is_long() -> None:
    assert len(BAD_REQUESTS) >= 60


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),  # HTTPS.
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: \x00\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /show HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /show HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"200"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_page_survives_invalid_and_unusual_http_and_logs_nothing(page: Page, content: bytes, answer: bytes) -> None:
    before = page.printed
    content = content.replace(b"{}", b"127.0.0.1:%d" % page.port)
    if answer:
        assert answer in page.send_raw(content)[:30]
    else:
        page.send_raw(content, wait=False)
    assert page.ask("POST", "/show", "image=1")[0] == 200
    assert page.printed == before


@pytest.mark.parametrize(
    "start_of_request",
    [
        b"GET / HT",
        b"POST /show HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nimage=",
        b"POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Length: 9000000\r\n\r\n" + bytes(100_000),
        b"POST /upload HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=lambda start_of_request: repr(start_of_request[:12]),
)
def test_clients_that_leave_early_are_not_logged(page: Page, start_of_request: bytes) -> None:
    before = page.printed
    for _ in range(20):
        page.send_raw(start_of_request.replace(b"{}", b"127.0.0.1:%d" % page.port), wait=False)
    assert page.ask("POST", "/show", "image=1")[0] == 200
    assert page.printed == before


@pytest.mark.parametrize("name", ["scale", "noise", "bits", "dropped", "seed", "image"])
@pytest.mark.parametrize("path", ["/show", "/open"])
def test_minus_zero_is_zero(page: Page, path: str, name: str) -> None:
    answers = [json.loads(page.ask("POST", path, f"image=3&{name}={zero}")[1]) for zero in ("-0", "0")]
    assert answers[0] == answers[1]
    assert answers[0]["notice"] == ""


def test_headers_keep_other_pages_out(page: Page) -> None:
    for path in ("/", "/page.js", "/page.css", "/nothing"):
        _, headers, _ = page.send("GET", path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    link_headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert page.ask("GET", "/?image=3", None, link_headers)[0] == 200, "a link on another page opens this one"


def run_at_once(tasks: Sequence) -> list:
    """Runs functions in threads, and returns their results in order."""
    results: list = [None] * len(tasks)

    def run(index: int) -> None:
        results[index] = tasks[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_file_is_uploaded_many_times_at_once(page: Page) -> None:
    content = png(40, 40)
    answers = run_at_once([lambda: page.ask("POST", "/upload", content)] * 8)
    assert {status for status, _ in answers} == {200}
    assert len({text for _, text in answers}) == 1


def test_each_client_gets_its_own_answer(page: Page) -> None:
    expected = [json.loads(page.ask("POST", "/show", f"image={number}")[1]) for number in range(16)]
    answers = run_at_once([lambda number=number: page.ask("POST", "/show", f"image={number}") for number in range(16)])
    assert [json.loads(text) for _, text in answers] == expected


def test_large_bodies_are_not_kept(page: Page) -> None:
    before = page.memory
    started = time.monotonic()
    answers = run_at_once([lambda: page.ask("POST", "/show", b"[" + b"[]," * 10_000_000)] * 3)
    assert {status for status, _ in answers} == {413}
    assert page.ask("POST", "/show", "image=1")[0] == 200
    assert time.monotonic() - started < ANSWER_SECONDS
    assert page.memory - before < 50 * MEGABYTE


def test_decompression_bombs_take_little_memory(page: Page) -> None:
    page.ask("POST", "/upload", png(40, 40))
    before = page.peak_memory
    bomb = png(9400, 9400)
    assert {status for status, _ in run_at_once([lambda: page.ask("POST", "/upload", bomb)] * 3)} == {422}
    assert page.peak_memory - before < 50 * MEGABYTE


def test_a_jpeg_of_48_megapixels_is_accepted(page: Page) -> None:
    # Pictures in other formats may have at most 25 million pixels. A large JPEG is decoded at a smaller scale.
    file = io.BytesIO()
    Image.new("RGB", (8000, 6000), (200, 200, 200)).save(file, "JPEG")
    status, text = page.ask("POST", "/upload?fit=whole", file.getvalue())
    assert status == 200
    shown = json.loads(page.ask("POST", "/show", urlencode(json.loads(text)))[1])
    assert shown["values"]["image"] is None


def test_silent_connections_make_room_for_new_ones(page: Page) -> None:
    before = page.printed
    with contextlib.ExitStack() as silent:
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", page.port)))
        assert page.ask("POST", "/show", "image=1")[0] == 200
    assert page.printed == before


def test_erasing_many_values_takes_less_than_a_second_more(page: Page) -> None:
    places = [f"0-{row}-{column}-0" for row in range(7) for column in range(7)]

    def seconds(erased: list[str]) -> float:
        query = urlencode({"image": 1, "window": "0-3-3", "erased": "_".join(erased)})
        started = time.monotonic()
        assert page.ask("POST", "/show", query)[0] == 200
        return time.monotonic() - started

    few, many = (min(seconds(erased) for _ in range(5)) for erased in (places[:1], (places * 84)[:4096]))
    assert many < few + 1


@pytest.mark.parametrize("host", ["::1", "::", "0.0.0.0", "localhost"])
def test_page_is_served_only_at_the_servers_own_addresses(host: str, tmp_path: Path) -> None:
    if ":" in host:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    with serving(tmp_path, host) as served:
        printed = served.program.read("stdout")
        address = {"::1": "[::1]", "::": "[::1]", "0.0.0.0": "127.0.0.1"}.get(host, host)
        assert f"open http://{address}:{served.port}" in printed
        assert ("without a password" in printed) == (host in ("::", "0.0.0.0"))
        connection_host = "::1" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
        with contextlib.closing(
            http.client.HTTPConnection(connection_host, served.port, timeout=ANSWER_SECONDS)
        ) as connection:
            connection.request("GET", "/", headers={"Host": f"{address}:{served.port}"})
            assert connection.getresponse().status == 200
        with contextlib.closing(
            http.client.HTTPConnection(connection_host, served.port, timeout=ANSWER_SECONDS)
        ) as connection:
            connection.request("GET", "/", headers={"Host": "evil.example"})
            response = connection.getresponse()
            assert response.status == 421
            message = response.read().decode()
            # The system decides which address "localhost" reaches.
            names = ("127.0.0.1", "[::1]") if host == "localhost" else (address,)
            assert any(f"http://{name}:{served.port}" in message for name in names)


def test_ctrl_c_ends_program_within_a_second_despite_open_connections(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [f"--model={MODEL}", "--dataset=mnist_5k", f"--port={port}"]
    # A new process, as a user starts it: a forked one does not shut TensorFlow down.
    command = [sys.executable, str(SCRIPTS / "playground.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as program:
        assert program.stdout is not None
        while "Ctrl-C stops it" not in program.stdout.readline():
            assert program.poll() is None
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 999\r\n\r\n" % port)
            started = time.monotonic()
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=ANSWER_SECONDS)
            assert time.monotonic() - started < END_SECONDS
    assert (program.returncode, errors) == (0, "")


def test_a_damaged_model_is_refused_within_three_seconds(tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(MODEL, tmp_path / "damaged"))
    variables = next((damaged / "variables").glob("*.data*"))
    variables.write_bytes(variables.read_bytes()[:-1] + b"?")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        str(SCRIPTS / "playground.py"),
        f"--model={damaged}",
        "--dataset=mnist_5k",
        f"--port={port}",
    ]
    started = time.monotonic()
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "is not the file that was exported" in finished.stderr


@pytest.mark.long
def test_silent_and_slow_connections_are_ended(page: Page) -> None:
    whole_headers = b"POST /show HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 100\r\n\r\nimage=1" % page.port
    for start_of_request, seconds in ((b"", 10), (b"GET / HT", 10), (whole_headers, 30)):
        with socket.create_connection(("127.0.0.1", page.port), 2 * seconds) as slow:
            slow.sendall(start_of_request)
            started = time.monotonic()
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(10) == b""
            assert time.monotonic() - started == pytest.approx(seconds, abs=3)


@pytest.mark.long
def test_two_thousand_visits_do_not_grow_memory(page: Page) -> None:
    content = png(400, 400)

    def visit() -> None:
        page.ask("GET", "/")
        assert page.ask("POST", "/open", "image=3")[0] == 200
        picture = json.loads(page.ask("POST", "/upload", content)[1])
        assert page.ask("POST", "/show", urlencode(picture | {"bits": 2}))[0] == 200

    for _ in range(200):
        visit()
    before = page.memory
    for _ in range(2000):
        visit()
    assert page.memory < 1.05 * before
