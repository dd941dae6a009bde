"""The page itself, in Gradio: controls on one side, a card for each model on the other."""

import base64
import binascii
import contextlib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageOps
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from deconv_ae.data.decoding import PictureError, decode
from deconv_ae.errors import InputError, RunError
from deconv_ae.model.architecture import Architecture
from deconv_ae.pictures.pixels import code_pixel
from deconv_ae.playground import cards
from deconv_ae.playground.address import check_address, is_own_address
from deconv_ae.playground.link import State, number_up_to, read, whole_up_to
from deconv_ae.playground.tampering import (
    LARGEST_NOISE,
    LARGEST_SCALE,
    MOST_BITS,
    SEEDS,
    SWITCHES,
    Pixel,
    Tampering,
)
from deconv_ae.saved_model.serving import ServedAutoencoder

LARGEST_UPLOAD = "5mb"
HERE = Path(__file__).parent

EXPLANATION = (
    "An autoencoder squeezes a picture into a small code and, beside it, the switches: where in each pooling window "
    "the maximum was. The decoder sees these two and nothing else, so whatever you change below on their way shows "
    "how much of the picture each of them carries."
)

# Gradio's page names hosts of others; a browser that obeys this asks none of them, whatever a later release does.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "form-action 'self'; frame-ancestors 'self'"
)

# Answers come within milliseconds: a queue and a progress bar would only be in their way.
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last"}


class Playground:
    """A page for some models and the test images of their data set.

    Args:
        models: of one image shape, in grey or in colour.
        test_images: `(N, height, width, channels)` uint8.
        command: what started the page, for people to copy.

    Raises:
        InputError: if a model was made for images of another shape, or of neither 1 nor 3 channels.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> None:
        for model in models:
            model.check(test_images)
        if test_images.shape[-1] not in (1, 3):
            raise InputError(f"model: images of {test_images.shape[-1]} channels cannot be drawn on; give 1 or 3")
        self.models = list(models)
        self.test_images = test_images
        self.command = command

    def serve(self, host: str, port: int, when_ready: Callable[[str], None], open_browser: bool = False) -> None:
        """Serves the page until it is interrupted.

        Args:
            host: the address to listen at.
            port: the port.
            when_ready: is called with the page's address.
            open_browser: whether to show it in the system's browser.

        Raises:
            InputError: if host is no address of this machine.
            RunError: if it cannot be listened at there.
        """
        check_address(host, port)
        blocks = self.page()
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                inbrowser=open_browser,
                share=False,
                quiet=True,
                show_error=True,
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
                max_file_size=LARGEST_UPLOAD,
                footer_links=[],
                favicon_path=None,
                app_kwargs={"middleware": [Middleware(_OnlyThisHost, host=host, port=port)]},
                theme=_theme(),
                css_paths=HERE / "page.css",
                prevent_thread_lock=True,
            )
        except OSError as error:
            raise RunError(f"port: {host}:{port} cannot be listened at; give another --port") from error
        try:
            with contextlib.suppress(KeyboardInterrupt):  # How one ends it, and no failure.
                when_ready(address)
                blocks.block_thread()
        finally:
            # Its threads would keep the process alive.
            blocks.close(verbose=False)

    def page(self) -> gr.Blocks:
        """The page, not served yet."""
        with _Page(title="What the switches know", analytics_enabled=False, delete_cache=(600, 600)) as blocks:
            gr.HTML(f"<h1>What the switches know</h1><p>{EXPLANATION}</p>", elem_id="title")
            with gr.Row(elem_id="page"):
                with gr.Column(scale=1, min_width=250, elem_id="left"):
                    picture = self._picture()
                    image = self._slider()
                    with gr.Row(elem_id="sources"):
                        clear = gr.Button("Clear, to draw", size="sm", min_width=80)
                        upload = gr.UploadButton("Upload", file_types=["image"], size="sm", min_width=80)
                    controls = _controls()
                    restore = gr.Button("Leave code and switches alone", size="sm", elem_id="restore")
                with gr.Column(scale=4, min_width=320, elem_id="right"):
                    shown = gr.HTML(js_on_load=(HERE / "code.js").read_text(encoding="utf-8"), elem_id="models")
                    with gr.Row():
                        link = gr.Textbox(
                            label="Link to what you see", buttons=["copy"], max_lines=1, min_width=300, elem_id="link"
                        )
                        gr.Textbox(
                            self.command,
                            label="Command that serves this page",
                            buttons=["copy"],
                            max_lines=1,
                            min_width=300,
                            elem_id="command",
                        )
            erased = gr.State(frozenset())
            everything = [picture, image, *controls, erased]
            results = [shown, link]

            for control in (picture, *controls):
                event = control.change if isinstance(control, gr.Radio) else control.input
                event(self._update, everything, results, **AT_ONCE)
            image.input(self._pick, everything, [picture, *results], **AT_ONCE)
            clear.click(self._clear, everything, [picture, *results], **AT_ONCE)
            restore.click(self._restore, [picture, image], [*controls, erased, *results], **AT_ONCE)
            shown.click(self._erase, everything, [erased, *results], **AT_ONCE)
            upload.upload(self._upload, [upload, *everything], [picture, *results], show_progress="hidden")
            blocks.load(self._load, None, [*everything, *results], show_progress="hidden")
        return blocks

    def _slider(self) -> gr.Slider:
        last = len(self.test_images) - 1
        # Gradio has no slider with a single position.
        return gr.Slider(0, max(1, last), 0, step=1, label="Test image", elem_id="image", interactive=last > 0)

    def _picture(self) -> gr.HTML:
        _, height, width, channels = self.test_images.shape
        return gr.HTML(
            _packed(self.test_images[0]),
            html_template=f'<canvas width="{width}" height="{height}"></canvas><p>Draw on it with mouse or finger.</p>',
            js_on_load=(HERE / "canvas.js").read_text(encoding="utf-8"),
            channels=channels,
            elem_id="picture",
        )

    def _results(self, state: State, request: gr.Request) -> tuple[str, str]:
        """The models' cards, and the link."""
        shown = cards.cards(self.models, state.picture, state.tampering)
        address = f"http://{request.headers['host']}/?{state.query()}"
        return shown, address

    def _state(self, pixels: str, image: int, *tampering: Any) -> State:
        """What the page's components say."""
        picture, number = self._unpacked(pixels), self._number(image)
        is_test_image = np.array_equal(picture, self.test_images[number])
        try:
            scale, noise, bits, switches, seed, erased = tampering
            tampered = Tampering(
                number_up_to(scale, LARGEST_SCALE),
                number_up_to(noise, LARGEST_NOISE),
                whole_up_to(bits, MOST_BITS),
                erased,
                SWITCHES[SWITCHES.index(switches)],
                int(seed or 0) % SEEDS,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise _misunderstood() from error
        return State(picture, number if is_test_image else None, tampered)

    def _number(self, image: Any) -> int:
        """The number of the test image that is meant."""
        try:
            return min(max(int(image), 0), len(self.test_images) - 1)
        except (TypeError, ValueError, OverflowError) as error:
            raise _misunderstood() from error

    def _unpacked(self, pixels: str) -> np.ndarray:
        shape = self.test_images.shape[1:]
        try:
            return np.frombuffer(base64.b64decode(pixels, validate=True), np.uint8).reshape(shape)
        except (binascii.Error, TypeError, ValueError) as error:
            raise gr.Error("The picture did not arrive whole: reload the page.", print_exception=False) from error

    def _with_picture(self, picture: np.ndarray, image: int, tampering: Sequence[Any], request: gr.Request) -> tuple:
        pixels = _packed(picture)
        return pixels, *self._results(self._state(pixels, image, *tampering), request)

    # What an event hands over: the request and the event, which Gradio knows by their annotations, then the values of
    # `everything`: pixels, image, and what makes a Tampering.

    def _update(self, request: gr.Request, pixels, image, *tampering):
        return self._results(self._state(pixels, image, *tampering), request)

    def _pick(self, request: gr.Request, pixels, image, *tampering):
        number = self._number(image)
        return self._with_picture(self.test_images[number], number, tampering, request)

    def _clear(self, request: gr.Request, pixels, image, *tampering):
        return self._with_picture(np.zeros_like(self.test_images[0]), image, tampering, request)

    def _upload(self, request: gr.Request, file, pixels, image, *tampering):
        picture = _uploaded(Path(file), self.test_images.shape[1:])
        return self._with_picture(picture, image, tampering, request)

    def _restore(self, request: gr.Request, pixels, image):
        controls = _values(Tampering())
        return *controls, *self._results(self._state(pixels, image, *controls), request)

    def _erase(self, request: gr.Request, event: gr.EventData, pixels, image, *tampering):
        *controls, erased = tampering
        pixel = self._clicked(event)
        erased = erased if pixel is None else erased ^ {pixel}
        return erased, *self._results(self._state(pixels, image, *controls, erased), request)

    def _clicked(self, event: gr.EventData) -> Pixel | None:
        """The code pixel that was clicked on, None between the channels' tiles."""
        try:
            number, row, column = (int(event._data[name]) for name in ("model", "row", "column"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _misunderstood() from error
        if not 0 <= number < len(self.models):
            return None
        card = self.models[number].card
        *_, code_shape = Architecture(**card.architecture).stage_shapes(card.image_shape)
        pixel = code_pixel(row, column, code_shape)
        return None if pixel is None else (number, *pixel)

    def _load(self, request: gr.Request):
        state, ignored = read(dict(request.query_params), self.test_images)
        if ignored:
            gr.Warning(f"The link's {', '.join(ignored)} could not be used and was left out.")
        return _packed(state.picture), state.image or 0, *_values(state.tampering), *self._results(state, request)


def _controls() -> list[Any]:
    """Scale, noise, bits, switches and seed, in the order of `_values`."""
    default = Tampering()
    return [
        gr.Slider(0, LARGEST_SCALE, default.scale, step=0.05, label="Scale the code", elem_id="scale"),
        gr.Slider(0, LARGEST_NOISE, default.noise, step=0.02, label="Add noise", elem_id="noise"),
        gr.Slider(0, MOST_BITS, default.bits, step=1, label="Bits (0: float32)", elem_id="bits"),
        gr.Radio(list(SWITCHES), value=default.switches, label="Switches", elem_id="switches"),
        gr.Number(default.seed, label="Seed", precision=0, minimum=0, maximum=SEEDS - 1, elem_id="seed"),
    ]


def _values(tampering: Tampering) -> tuple:
    """What the controls show, and the erased pixels."""
    return (
        tampering.scale,
        tampering.noise,
        tampering.bits,
        tampering.switches,
        tampering.seed,
        tampering.erased,
    )


def _theme() -> gr.themes.Base:
    """Plain labels, and the system's own fonts: the themes' own come from elsewhere."""
    theme = gr.themes.Soft(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="blue"
    )
    return theme.set(
        block_title_background_fill="transparent",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_weight="500",
    )


def _packed(picture: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode()


def _uploaded(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An uploaded picture in the models' size and colours, with black where its sides are too short.

    The file is deleted: pictures of people who try the page are not kept.
    """
    height, width, channels = shape
    try:
        picture = Image.fromarray(np.squeeze(decode(file, channels), axis=-1 if channels == 1 else ()))
    except PictureError as error:
        message = f"This file {error}."
        raise gr.Error(message, print_exception=False) from error
    finally:
        file.unlink(missing_ok=True)
    return np.asarray(ImageOps.pad(picture, (width, height))).reshape(shape)


def _misunderstood() -> gr.Error:
    return gr.Error("This request could not be understood: reload the page.", print_exception=False)


class _Page(gr.Blocks):
    """Gradio's page, which prints no traceback for what a request got wrong; one of this package's own stays."""

    async def process_api(self, *arguments: Any, **named: Any) -> Any:
        try:
            return await super().process_api(*arguments, **named)
        except gr.Error:
            raise
        except Exception as error:
            _, *later = traceback.extract_tb(error.__traceback__)  # The first is this call.
            if any(Path(frame.filename).is_relative_to(HERE.parent) for frame in later):
                raise
            raise _misunderstood() from error


class _OnlyThisHost:
    """ASGI middleware: answers what asks for this page by its own address, and tells browsers to ask no other host.

    A request that no handler can make sense of is refused; it is no defect here, and its sender may be anybody.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        self.app = app
        self._host = host
        self._port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        named = Headers(scope=scope).get("host", "")
        if not is_own_address(named, self._host, self._port):
            refusal = PlainTextResponse(f"This page is served at http://{self._host}:{self._port} only.\n", 421)
            await refusal(scope, receive, send)
            return
        started = False

        async def send_with_policy(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            await send(message)

        try:
            await self.app(scope, receive, send_with_policy)
        except Exception:
            if started or scope["type"] != "http":
                raise
            await PlainTextResponse("This request could not be understood.\n", 400)(scope, receive, send)
