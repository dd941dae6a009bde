"""The page itself, in Gradio: the picture and controls on one side, what the models make of it on the other."""

import base64
import binascii
import contextlib
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from deconv_ae.data.decoding import PictureError
from deconv_ae.errors import RunError
from deconv_ae.playground.address import check_address, is_own_address
from deconv_ae.playground.link import State, number_up_to, read, whole_up_to
from deconv_ae.playground.tampering import (
    LARGEST_NOISE,
    LARGEST_SCALE,
    MOST_BITS,
    PRESETS,
    SEEDS,
    SWITCHES,
    Tampering,
)
from deconv_ae.playground.upload import CROPPED, FITS, fitted, receive
from deconv_ae.playground.view import View, as_told
from deconv_ae.saved_model.serving import ServedAutoencoder

PEN_KEYS = "Draw with mouse, finger or arrow keys (Space puts the pen down and lifts it)."
COLOUR_OF_PEN = '<label>Pen <input type="color" value="#ffffff"></label>'
LARGEST_UPLOAD = "5mb"
HERE = Path(__file__).parent

TITLE = "What the switches know"
RESTORE = "Leave code and switches alone"
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
TO_COPY: dict[str, Any] = {"buttons": ["copy"], "max_lines": 1, "min_width": 300}


class Playground:
    """A page for some models and the test images of their data set.

    Args:
        models: of one image shape, in grey or in colour.
        test_images: `(N, height, width, channels)` uint8.
        command: what started the page, for people to copy.

    Raises:
        InputError: if a model was made for images of another shape, or of neither 1 nor 3 channels, or is damaged.
    """

    def __init__(self, models: Sequence[ServedAutoencoder], test_images: np.ndarray, command: str) -> None:
        self.view = View(models, test_images)
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
                threading.Event().wait()
        finally:
            # Its threads would keep the process alive.
            blocks.close(verbose=False)

    def page(self) -> gr.Blocks:
        """The page, not served yet."""
        with _Page(title=TITLE, analytics_enabled=False, delete_cache=(600, 600)) as blocks:
            gr.HTML(f"<h1>{TITLE}</h1><p>{EXPLANATION}</p>", elem_id="title")
            with gr.Row(elem_id="page"):
                with gr.Column(scale=1, min_width=250, elem_id="left"):
                    picture = self._picture()
                    source = gr.HTML(elem_id="source")
                    image = self._slider()
                    with gr.Row(elem_id="sources"):
                        clear = gr.Button("Clear, to draw", size="sm", min_width=80)
                        upload = gr.UploadButton("Upload", file_types=["image"], size="sm", min_width=80)
                    fit = gr.Radio(list(FITS), value=CROPPED, label="Uploads", elem_id="fit")
                    controls = _controls()
                with gr.Column(scale=4, min_width=320, elem_id="right"):
                    with gr.Row(elem_id="presets"):
                        gr.HTML("<p>Try:</p>")
                        presets = {gr.Button(name, size="sm", min_width=80): made for name, made in PRESETS.items()}
                        presets[gr.Button(RESTORE, size="sm", min_width=80)] = Tampering()
                    shown = gr.HTML(elem_id="models")
                    with gr.Row(elem_id="addresses"):
                        link = gr.Textbox(label="Link to what you see", elem_id="link", **TO_COPY)
                        gr.Textbox(self.command, label="Command that serves this page", elem_id="command", **TO_COPY)
            script = (HERE / "code.js").read_text(encoding="utf-8")
            touched = gr.HTML(as_told((), None), html_template="<i></i>", js_on_load=script)
            uploaded = gr.State(None)
            everything = [picture, image, *controls, touched]
            results = [shown, source, link]

            for control in (picture, *controls, touched):
                event = control.change if isinstance(control, gr.Radio) else control.input
                event(self._update, everything, results, **AT_ONCE)
            image.input(self._pick, everything, [picture, *results], **AT_ONCE)
            clear.click(self._clear, everything, [picture, *results], **AT_ONCE)
            for button, made in presets.items():
                button.click(self._setter(made), everything, [*controls, touched, *results], **AT_ONCE)
            brought = [uploaded, picture, *results]
            upload.upload(self._upload, [upload, fit, *everything], brought, show_progress="hidden")
            fit.change(self._fit, [uploaded, fit, *everything], [picture, *results], **AT_ONCE)
            blocks.load(self._load, None, [*everything, *results], show_progress="hidden")
        return blocks

    def _slider(self) -> gr.Slider:
        last = len(self.test_images) - 1
        # Gradio has no slider with a single position.
        return gr.Slider(
            0, max(1, last), 0, step=1, label="Test image", elem_id="image", interactive=last > 0, buttons=[]
        )

    def _picture(self) -> gr.HTML:
        _, height, width, channels = self.test_images.shape
        return gr.HTML(
            _packed(self.test_images[0]),
            html_template=f'<div><canvas width="{width}" height="{height}" tabindex="0" role="application" '
            'aria-label="The picture, to draw on" aria-describedby="pen-keys"></canvas><i></i></div>'
            f'<p id="pen-keys">{PEN_KEYS}</p>{COLOUR_OF_PEN if channels == 3 else ""}',
            js_on_load=(HERE / "canvas.js").read_text(encoding="utf-8"),
            channels=channels,
            elem_id="picture",
        )

    def _results(self, state: State, request: gr.Request) -> tuple[str, str, str]:
        """What the models make of it, where the picture is from, and the link."""
        return self.view.html(state), self.view.source(state), f"http://{request.headers['host']}/?{state.query()}"

    def _state(self, pixels: str, image: int, *tampering: Any) -> State:
        """What the page's components say."""
        picture, number = self._unpacked(pixels), self._number(image)
        is_test_image = np.array_equal(picture, self.test_images[number])
        try:
            scale, noise, bits, dropped, switches, seed, touched = tampering
            erased, window = self.view.touched(picture, touched)
            tampered = Tampering(
                number_up_to(scale, LARGEST_SCALE),
                number_up_to(noise, LARGEST_NOISE),
                whole_up_to(bits, MOST_BITS),
                number_up_to(dropped, 1),
                erased,
                SWITCHES[SWITCHES.index(switches)],
                int(seed or 0) % SEEDS,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise _misunderstood() from error
        return State(picture, number if is_test_image else None, tampered, window)

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

    def _upload(self, request: gr.Request, file, fit, pixels, image, *tampering):
        try:
            uploaded = receive(Path(file), self.test_images.shape[-1])
        except PictureError as error:
            message = f"This file {error}."
            raise gr.Error(message, print_exception=False) from error
        picture = fitted(uploaded, fit, self.test_images.shape[1:])
        return uploaded, *self._with_picture(picture, image, tampering, request)

    def _fit(self, request: gr.Request, uploaded, fit, pixels, image, *tampering):
        picture = self._unpacked(pixels)
        shape = self.test_images.shape[1:]
        # Of a picture that is drawn on, or of the test images, there is nothing to be brought to size.
        if uploaded is not None and any(np.array_equal(picture, fitted(uploaded, other, shape)) for other in FITS):
            picture = fitted(uploaded, fit, shape)
        return self._with_picture(picture, image, tampering, request)

    def _setter(self, preset: Tampering) -> Callable[..., tuple]:
        def set_controls(request: gr.Request, pixels, image, *tampering):
            state = replace(self._state(pixels, image, *tampering), tampering=preset)
            return *_values(state), *self._results(state, request)

        return set_controls

    def _load(self, request: gr.Request):
        state, ignored = read(dict(request.query_params), self.test_images)
        erased = frozenset(filter(self.view.has, state.tampering.erased))
        if erased != state.tampering.erased:  # A link to a page of other models.
            ignored.append("erased")
            state = replace(state, tampering=replace(state.tampering, erased=erased))
        if state.window is not None and not self.view.has(state.window):
            ignored.append("window")
            state = replace(state, window=None)
        if ignored:
            gr.Warning(f"The link's {', '.join(ignored)} could not be used and was left out.")
        return _packed(state.picture), state.image or 0, *_values(state), *self._results(state, request)


def _controls() -> list[Any]:
    """Scale, noise, bits, dropped, switches and seed, in the order of `_values`."""
    default = Tampering()

    def slider(largest: float, value: float, step: float, label: str, name: str) -> gr.Slider:
        return gr.Slider(0, largest, value, step=step, label=label, elem_id=name, buttons=[])

    return [
        slider(LARGEST_SCALE, default.scale, 0.05, "Scale the code", "scale"),
        slider(LARGEST_NOISE, default.noise, 0.02, "Add noise", "noise"),
        slider(MOST_BITS, default.bits, 1, "Bits (0: float32)", "bits"),
        slider(1, default.dropped, 0.05, "Drop values", "dropped"),
        gr.Radio(list(SWITCHES), value=default.switches, label="Switches", elem_id="switches"),
        gr.Number(default.seed, label="Seed", precision=0, minimum=0, maximum=SEEDS - 1, elem_id="seed"),
    ]


def _values(state: State) -> tuple:
    """What the controls show, and what is done to the models' drawings."""
    tampering = state.tampering
    return (
        tampering.scale,
        tampering.noise,
        tampering.bits,
        tampering.dropped,
        tampering.switches,
        tampering.seed,
        as_told(tampering.erased, state.window),
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
        # The same boxes in light and dark: none but those of the models.
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        # To be read, at 4.5 to 1.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        color_accent="*primary_700",
        slider_color="*primary_700",
        slider_color_dark="*primary_400",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        button_secondary_border_color="*neutral_400",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_500",
        input_border_width="1px",
    )


def _packed(picture: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode()


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
