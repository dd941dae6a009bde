// What one does to the models' drawings, by pointer or keys. Values of a code are erased, and windows followed, by
// their places, model-row-column-channel; without a channel it is the strongest.
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const CODE = "#models figure.code svg";

let told; // what is erased and followed now
let change; // says what is to be

export function touch(now, tell) {
  [told, change] = [now, tell];
}

function modelOf(svg) {
  return Number(svg.closest(".card").dataset.model);
}

function follow(pixel, erase) {
  const window = pixel.filter((index) => index !== null).join("-");
  const { erased } = told();
  const others = erased.filter((other) => other !== window);
  if (!erase) change({ window });
  else change({ window, erased: (others.length < erased.length ? others : [...erased, window]).join("_") });
}

// Channels are tiles of a code's picture, a pixel apart.
function shape(svg) {
  const [height, width, channels] = ["height", "width", "channels"].map((name) => Number(svg.dataset[name]));
  return { height, width, channels, across: (svg.viewBox.baseVal.width + 1) / (width + 1) };
}

function pixelAt(svg, row, column) {
  const { height, width, channels, across } = shape(svg);
  const [tileRow, tileColumn] = [Math.floor(row / (height + 1)), Math.floor(column / (width + 1))];
  const channel = tileRow * across + tileColumn;
  const [r, c] = [row - tileRow * (height + 1), column - tileColumn * (width + 1)];
  const isOne = row >= 0 && column >= 0 && tileColumn < across && r < height && c < width && channel < channels;
  return isOne ? [modelOf(svg), r, c, channel] : null;
}

function placeOf(svg, [, row, column, channel]) {
  const { height, width, across } = shape(svg);
  return [Math.floor(channel / across) * (height + 1) + row, (channel % across) * (width + 1) + column];
}

function cursor(svg) {
  const { window } = told();
  const isHere = window && window[0] === modelOf(svg);
  return isHere ? placeOf(svg, window) : [Number(svg.dataset.row), Number(svg.dataset.column)];
}

function pointed(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = svg.viewBox.baseVal;
  if (point.x < 0 || point.y < 0 || point.x >= width || point.y >= height) return null;
  const [row, column] = [Math.floor(point.y), Math.floor(point.x)];
  if (!svg.dataset.unit) return pixelAt(svg, row, column);
  const [unitHeight, unitWidth] = svg.dataset.unit.split(" ").map(Number);
  return [modelOf(svg), Math.floor(row / unitHeight), Math.floor(column / unitWidth), null];
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#models .overview a");
  if (link) {
    document.querySelector(link.hash).scrollIntoView({ inline: "center", block: "nearest" });
    event.preventDefault();
  }
  const svg = event.target.closest("#models svg[data-action]");
  const pixel = svg && pointed(svg, event);
  if (pixel) follow(pixel, svg.dataset.action === "erase");
});

document.addEventListener("keydown", (event) => {
  const svg = event.target.closest(CODE);
  if (!svg || event.ctrlKey || event.altKey || event.metaKey) return;
  const at = cursor(svg);
  if (event.key in KEYS) {
    const [down, right] = KEYS[event.key];
    // A second step leads over the gap between two tiles.
    const next = [1, 2].map((steps) => pixelAt(svg, at[0] + steps * down, at[1] + steps * right)).find(Boolean);
    if (next) follow(next, false);
  } else if (event.key === "Enter" || event.key === " ") follow(pixelAt(svg, ...at), true);
  else return;
  event.preventDefault();
});

document.addEventListener("focusin", (event) => {
  // By a key: a click tells by itself what it was meant for.
  const svg = event.target.closest(CODE);
  if (svg && svg.matches(":focus-visible")) follow(pixelAt(svg, ...cursor(svg)), false);
});

function frame(svg, row, column) {
  for (const mark of svg.querySelectorAll(".pointed-at")) {
    mark.setAttribute("x", column);
    mark.setAttribute("y", row);
  }
}

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest(CODE);
  const pixel = svg && pointed(svg, event);
  if (svg) frame(svg, ...(pixel ? placeOf(svg, pixel) : [-9, -9]));
});
document.addEventListener("pointerout", (event) => {
  const svg = event.target.closest(CODE);
  if (svg && !svg.contains(event.relatedTarget)) frame(svg, -9, -9);
});
