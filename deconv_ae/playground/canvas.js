// The picture, to draw on: one canvas pixel for each of the image's. `element`, `props`, `trigger` and `watch`
// are the page's; props.value holds the pixels in base64, row by row, without alpha.
const context = () => element.querySelector("canvas").getContext("2d", { willReadFrequently: true });
const channels = () => props.channels;

function show() {
  const bytes = Uint8Array.from(atob(props.value), (letter) => letter.charCodeAt(0));
  const { width, height } = element.querySelector("canvas");
  const image = context().createImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      image.data[4 * pixel + colour] = bytes[channels() * pixel + (channels() === 1 ? 0 : colour)];
    }
    image.data[4 * pixel + 3] = 255;
  }
  context().putImageData(image, 0, 0);
}

function pixels() {
  const { width, height } = element.querySelector("canvas");
  const data = context().getImageData(0, 0, width, height).data;
  let text = "";
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < channels(); channel++) text += String.fromCharCode(data[4 * pixel + channel]);
  }
  return btoa(text);
}

let last = null; // where the stroke is; null when none is being drawn
let sent = null;
let timer = null;

function stamp(x, y) {
  // A round brush with a soft rim, about as wide as the pen of a digit of 28 pixels.
  const { width, height } = element.querySelector("canvas");
  const radius = Math.max(width, height) / 22;
  const brush = context();
  const image = brush.getImageData(0, 0, width, height);
  for (let row = Math.floor(y - radius - 1); row <= y + radius + 1; row++) {
    for (let column = Math.floor(x - radius - 1); column <= x + radius + 1; column++) {
      if (row < 0 || column < 0 || row >= height || column >= width) continue;
      const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      const ink = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
      for (let colour = 0; colour < 3; colour++) {
        const index = 4 * (row * width + column) + colour;
        image.data[index] = Math.max(image.data[index], ink);
      }
    }
  }
  brush.putImageData(image, 0, 0);
}

function place(event) {
  const canvas = element.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * canvas.width,
    ((event.clientY - box.top) / box.height) * canvas.height,
  ];
}

function stroke(event) {
  const [x, y] = place(event);
  const [fromX, fromY] = last || [x, y];
  const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) * 2));
  for (let step = 1; step <= steps; step++) {
    stamp(fromX + ((x - fromX) * step) / steps, fromY + ((y - fromY) * step) / steps);
  }
  last = [x, y];
}

function send() {
  clearTimeout(timer);
  timer = null;
  sent = pixels();
  props.value = sent;
  trigger("input");
}

element.addEventListener("pointerdown", (event) => {
  if (event.target.tagName !== "CANVAS") return;
  event.target.setPointerCapture(event.pointerId);
  stroke(event);
  event.preventDefault();
});
element.addEventListener("pointermove", (event) => {
  if (!last) return;
  stroke(event);
  timer = timer || setTimeout(send, 100); // while drawing, ten times a second
});
for (const end of ["pointerup", "pointercancel"]) {
  element.addEventListener(end, () => {
    if (!last) return;
    last = null;
    send();
  });
}

watch("value", () => {
  if (props.value !== sent) show();
});
show();
