// The picture, to draw on with a pointer or by keys. The canvas has one pixel for each pixel of the image. While
// somebody draws, `onDraw` is called up to ten times a second with the pixels in base64, row by row, without alpha.
const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const SEND_MILLISECONDS = 100; // from a change to the call of `onDraw`

export function canvas(element, channels, onDraw) {
  const surface = element.querySelector("canvas");
  const { width, height } = surface;
  const context = surface.getContext("2d", { willReadFrequently: true });
  let strokeEnd = null; // the last place of the current stroke; null while nobody draws
  let pen = null; // the place of the keys' pen, and whether it is down
  let timer = null;

  function show(text) {
    if (strokeEnd || timer) return; // The drawing on the canvas is newer.
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const image = context.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let primary = 0; primary < 3; primary++) {
        image.data[4 * pixel + primary] = bytes[channels * pixel + (channels === 1 ? 0 : primary)];
      }
      image.data[4 * pixel + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  function clear() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    send();
  }

  function send() {
    clearTimeout(timer);
    timer = null;
    const data = context.getImageData(0, 0, width, height).data;
    let text = "";
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let channel = 0; channel < channels; channel++) text += String.fromCharCode(data[4 * pixel + channel]);
    }
    onDraw(btoa(text));
  }

  function colour() {
    const chosen = element.querySelector("input[type=color]")?.value || "#ffffff";
    return [1, 3, 5].map((start) => parseInt(chosen.slice(start, start + 2), 16));
  }

  function stamp(x, y) {
    // A round brush with a soft rim, about as wide as the strokes of an MNIST digit.
    const radius = Math.max(width, height) / 22;
    const ink = colour();
    const image = context.getImageData(0, 0, width, height);
    for (let row = Math.floor(y - radius - 1); row <= y + radius + 1; row++) {
      for (let column = Math.floor(x - radius - 1); column <= x + radius + 1; column++) {
        if (row < 0 || column < 0 || row >= height || column >= width) continue;
        const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const cover = Math.min(1, Math.max(0, radius + 0.5 - distance));
        for (let primary = 0; primary < 3; primary++) {
          const index = 4 * (row * width + column) + primary;
          const before = image.data[index];
          // Where the ink is 255, as in white, the brighter value stays, because mixing at every stamp would harden the
          // soft rims of strokes. Darker ink is mixed with the value before, and so covers it.
          const mixed = Math.round(before + (ink[primary] - before) * cover);
          image.data[index] = ink[primary] === 255 ? Math.max(before, Math.round(255 * cover)) : mixed;
        }
      }
    }
    context.putImageData(image, 0, 0);
  }

  function placeUnder(event) {
    const box = surface.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  function stroke(x, y) {
    const [fromX, fromY] = strokeEnd || [x, y];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) * 2));
    for (let step = 1; step <= steps; step++) {
      stamp(fromX + ((x - fromX) * step) / steps, fromY + ((y - fromY) * step) / steps);
    }
    strokeEnd = [x, y];
    timer = timer || setTimeout(send, SEND_MILLISECONDS);
  }

  function showPen() {
    const mark = element.querySelector("i");
    mark.className = pen.down ? "down" : "";
    mark.style.left = `${(100 * (pen.x + 0.5)) / width}%`;
    mark.style.top = `${(100 * (pen.y + 0.5)) / height}%`;
  }

  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    stroke(...placeUnder(event));
    event.preventDefault(); // The page does not scroll; the next line sets the focus.
    surface.focus({ preventScroll: true, focusVisible: false });
  });
  surface.addEventListener("pointermove", (event) => {
    if (strokeEnd && event.buttons) stroke(...placeUnder(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    surface.addEventListener(end, () => {
      if (!strokeEnd) return;
      strokeEnd = null;
      send();
    });
  }
  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = Math.max(1, Math.round(Math.max(width, height) / 28)); // a 28th of the longer side: a pixel of a digit
    if (event.key in STEPS) {
      const [dx, dy] = STEPS[event.key];
      pen.x = Math.min(width - 1, Math.max(0, pen.x + dx * step));
      pen.y = Math.min(height - 1, Math.max(0, pen.y + dy * step));
    } else if (event.key === " ") pen.down = !pen.down;
    else return;
    event.preventDefault();
    showPen();
    if (pen.down) stroke(pen.x + 0.5, pen.y + 0.5);
    else strokeEnd = null;
  });
  surface.addEventListener("focus", () => {
    pen = pen || { x: Math.floor(width / 2), y: Math.floor(height / 2), down: false };
    showPen();
  });
  surface.addEventListener("blur", () => {
    strokeEnd = null;
    pen.down = false;
  });

  return { show, clear };
}
