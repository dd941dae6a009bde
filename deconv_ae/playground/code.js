// Pointer and keys on the models' drawings: they erase values, follow windows and move switches. A place is
// model-row-column-channel; without a channel, the program takes the strongest.
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const CODE = "#models figure.code svg";

let current; // returns the erased values, the moved switches and the followed window
let change; // changes the page's state

export function connect(now, tell) {
  [current, change] = [now, tell];
}

function modelOf(svg) {
  return Number(svg.closest(".card").dataset.model);
}

const asText = (place) => place.filter((index) => index !== null).join("-");

function follow(place) {
  change({ window: asText(place) });
}

// Erases a value, or puts an erased value back.
function erase(place) {
  const { erased } = current();
  const others = erased.filter((other) => other !== place);
  change({ erased: (others.length < erased.length ? others : [...erased, place]).join("_") });
}

// Moves a value's switch to another place in its window.
function move(place, to) {
  const others = current().moved.filter((other) => !other.startsWith(`${place}-`));
  change({ window: place, moved: [...others, `${place}-${to}`].join("_") });
}

// The tiles in a drawing of a code: one for each channel, a pixel apart.
function shape(svg) {
  const [height, width, channels] = ["height", "width", "channels"].map((name) => Number(svg.dataset[name]));
  return { height, width, channels, across: (svg.viewBox.baseVal.width + 1) / (width + 1) };
}

function pixelAt(svg, row, column) {
  const { height, width, channels, across } = shape(svg);
  const [tileRow, tileColumn] = [Math.floor(row / (height + 1)), Math.floor(column / (width + 1))];
  const channel = tileRow * across + tileColumn;
  const [r, c] = [row - tileRow * (height + 1), column - tileColumn * (width + 1)];
  const exists = row >= 0 && column >= 0 && tileColumn < across && r < height && c < width && channel < channels;
  return exists ? [modelOf(svg), r, c, channel] : null;
}

function placeOf(svg, [, row, column, channel]) {
  const { height, width, across } = shape(svg);
  return [Math.floor(channel / across) * (height + 1) + row, (channel % across) * (width + 1) + column];
}

function cursor(svg) {
  const { window } = current();
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

const isErasing = () => document.querySelector("#click input:checked").value === "erase";
// The switch that was dragged since the pointer was last pressed. The click at the end of a drag follows no window.
let dragged = null;

document.addEventListener("click", (event) => {
  const link = event.target.closest("#models .overview a");
  if (link) {
    document.querySelector(link.hash).scrollIntoView({ inline: "center", block: "nearest" });
    event.preventDefault();
  }
  const button = event.target.closest("[data-erase]");
  if (button) erase(button.dataset.erase);
  const svg = event.target.closest("#models svg[data-action]");
  const place = svg && pointed(svg, event);
  if (!place || dragged) return;
  if (svg.dataset.action === "code" && isErasing()) erase(asText(place));
  else follow(place);
});

document.addEventListener("keydown", (event) => {
  const svg = event.target.closest(CODE);
  if (!svg || event.ctrlKey || event.altKey || event.metaKey) return;
  const at = cursor(svg);
  if (event.key in KEYS) {
    const [down, right] = KEYS[event.key];
    // The second step crosses the gap between two tiles.
    const next = [1, 2].map((steps) => pixelAt(svg, at[0] + steps * down, at[1] + steps * right)).find(Boolean);
    if (next) follow(next);
  } else if (["Enter", " ", "Delete"].includes(event.key)) erase(asText(pixelAt(svg, ...at)));
  else return;
  event.preventDefault();
});

document.addEventListener("focusin", (event) => {
  // Only after a key: a click has its own listener.
  const svg = event.target.closest(CODE);
  if (svg && svg.matches(":focus-visible")) follow(pixelAt(svg, ...cursor(svg)));
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-move]")) event.target.isTyped = true; // Answers do not overwrite the box.
});
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!box.matches("[data-move]")) return;
  box.isTyped = false;
  if (box.value === "") box.value = box.getAttribute("value");
  else move(box.dataset.move, Math.min(Math.max(Math.round(Number(box.value)), 0), Number(box.max)));
});

// The switch in the window under the pointer whose point is nearest to it.
function pointOf(svg, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { unit, columns, channels, places } = svg.dataset;
  const [height, width] = unit.split(" ").map(Number);
  const [row, column] = [Math.floor(at.y / height), Math.floor(at.x / width)];
  const all = places.split(" ").map(Number);
  const distances = Array.from({ length: Number(channels) }, (_, channel) => {
    const place = all[(row * Number(columns) + column) * Number(channels) + channel];
    const x = column * width + (place % width) + (channel + 0.5) / Number(channels);
    return Math.hypot(at.x - x, at.y - (row * height + Math.floor(place / width) + 0.5));
  });
  const channel = distances.indexOf(Math.min(...distances));
  return { svg, row, column, width, height, place: asText([modelOf(svg), row, column, channel]), to: null };
}

document.addEventListener("pointerdown", (event) => {
  dragged = null;
  const svg = event.target.closest("path.point")?.closest("svg[data-places]");
  if (!svg) return;
  const found = pointOf(svg, event);
  svg.setPointerCapture(event.pointerId);
  svg.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, () => svg.removeEventListener("pointermove", drag), { once: true });
  }
  event.preventDefault(); // No text is selected.

  function drag(moved) {
    const at = new DOMPoint(moved.clientX, moved.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const inside = (value, length) => Math.min(Math.max(Math.floor(value), 0), length - 1);
    const { row, column, height, width } = found;
    const to = inside(at.y - row * height, height) * width + inside(at.x - column * width, width);
    if (to === found.to) return;
    found.to = to;
    dragged = found;
    move(found.place, to);
  }
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
