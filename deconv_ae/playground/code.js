// Pointer and keys on the models' drawings erase values, follow windows and move switches. A place is a model's
// number, and a row, column and channel of its code, as an array or joined by hyphens. Without a channel, the program
// takes the strongest one. A window place is the value of a switch: the number of a place within its window.
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const CODE = "#models figure.code svg";

let currentState; // a function that returns the erased values, the moved switches and the followed window
let changeState; // a function that changes the page's state

export function connect(getState, setState) {
  [currentState, changeState] = [getState, setState];
}

function modelOf(svg) {
  return Number(svg.closest(".card").dataset.model);
}

const asText = (place) => place.filter((index) => index !== null).join("-");

function follow(place) {
  changeState({ window: asText(place) });
}

// Erases a value, or puts an erased value back.
function toggleErased(place) {
  const { erased } = currentState();
  const others = erased.filter((other) => other !== place);
  changeState({ erased: (others.length < erased.length ? others : [...erased, place]).join("_") });
}

// Moves a value's switch to another place in its window.
function move(place, windowPlace) {
  const others = currentState().moved.filter((other) => !other.startsWith(`${place}-`));
  changeState({ window: place, moved: [...others, `${place}-${windowPlace}`].join("_") });
}

// The tiles in a drawing of a code or of switches: one for each channel, a pixel apart.
function tileShape(svg) {
  const [height, width, channels] = ["height", "width", "channels"].map((name) => Number(svg.dataset[name]));
  return { height, width, channels, tilesInRow: (svg.viewBox.baseVal.width + 1) / (width + 1) };
}

// The place at a row and column of a drawing in tiles, or null between tiles and outside.
function placeAt(svg, row, column) {
  const { height, width, channels, tilesInRow } = tileShape(svg);
  const [tileRow, tileColumn] = [Math.floor(row / (height + 1)), Math.floor(column / (width + 1))];
  const channel = tileRow * tilesInRow + tileColumn;
  const [r, c] = [row - tileRow * (height + 1), column - tileColumn * (width + 1)];
  const exists = row >= 0 && column >= 0 && tileColumn < tilesInRow && r < height && c < width && channel < channels;
  return exists ? [modelOf(svg), r, c, channel] : null;
}

// The row and column of a place in a code's drawing.
function pixelOf(svg, [, row, column, channel]) {
  const { height, width, tilesInRow } = tileShape(svg);
  return [Math.floor(channel / tilesInRow) * (height + 1) + row, (channel % tilesInRow) * (width + 1) + column];
}

// The row and column in a code's drawing from which arrow keys move.
function cursor(svg) {
  const { window } = currentState();
  const isInThisCode = window && window[0] === modelOf(svg);
  return isInThisCode ? pixelOf(svg, window) : [Number(svg.dataset.row), Number(svg.dataset.column)];
}

// The place under the pointer, or null outside of the drawing.
function placeUnder(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = svg.viewBox.baseVal;
  if (point.x < 0 || point.y < 0 || point.x >= width || point.y >= height) return null;
  const [row, column] = [Math.floor(point.y), Math.floor(point.x)];
  if (!svg.dataset.unit) return placeAt(svg, row, column);
  const [unitHeight, unitWidth] = svg.dataset.unit.split(" ").map(Number);
  return [modelOf(svg), Math.floor(row / unitHeight), Math.floor(column / unitWidth), null];
}

const isErasing = () => document.querySelector("#click input:checked").value === "erase";
// The switch that was dragged since the pointer was last pressed. The click at the end of a drag follows no window.
let draggedSwitch = null;

document.addEventListener("click", (event) => {
  const link = event.target.closest("#models .overview a");
  if (link) {
    document.querySelector(link.hash).scrollIntoView({ inline: "center", block: "nearest" });
    event.preventDefault();
  }
  const button = event.target.closest("[data-erase]");
  if (button) toggleErased(button.dataset.erase);
  const svg = event.target.closest("#models svg[data-action]");
  const place = svg && placeUnder(svg, event);
  if (!place || draggedSwitch) return;
  if (svg.dataset.action === "code" && isErasing()) toggleErased(asText(place));
  else follow(place);
});

document.addEventListener("keydown", (event) => {
  const svg = event.target.closest(CODE);
  if (!svg || event.ctrlKey || event.altKey || event.metaKey) return;
  const [row, column] = cursor(svg);
  if (event.key in KEYS) {
    const [dy, dx] = KEYS[event.key];
    // The second step crosses the gap between two tiles.
    const next = [1, 2].map((steps) => placeAt(svg, row + steps * dy, column + steps * dx)).find(Boolean);
    if (next) follow(next);
  } else if (["Enter", " ", "Delete"].includes(event.key)) toggleErased(asText(placeAt(svg, row, column)));
  else return;
  event.preventDefault();
});

document.addEventListener("focusin", (event) => {
  // This listener ignores the focus that comes from a click, because clicks have their own listener.
  const svg = event.target.closest(CODE);
  if (svg && svg.matches(":focus-visible")) follow(placeAt(svg, ...cursor(svg)));
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

// Finds the switch whose point is nearest to the pointer, in the window under the pointer.
function nearestSwitch(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { unit, columns, channels, places } = svg.dataset;
  const [height, width] = unit.split(" ").map(Number);
  const [row, column] = [Math.floor(point.y / height), Math.floor(point.x / width)];
  const windowPlaces = places.split(" ").map(Number);
  const distances = Array.from({ length: Number(channels) }, (_, channel) => {
    const windowPlace = windowPlaces[(row * Number(columns) + column) * Number(channels) + channel];
    const x = column * width + (windowPlace % width) + (channel + 0.5) / Number(channels);
    return Math.hypot(point.x - x, point.y - (row * height + Math.floor(windowPlace / width) + 0.5));
  });
  const channel = distances.indexOf(Math.min(...distances));
  return { svg, row, column, width, height, place: asText([modelOf(svg), row, column, channel]) };
}

document.addEventListener("pointerdown", (event) => {
  draggedSwitch = null;
  const svg = event.target.closest("path.point")?.closest("svg[data-places]");
  if (!svg) return;
  const grabbed = nearestSwitch(svg, event);
  svg.setPointerCapture(event.pointerId);
  svg.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, () => svg.removeEventListener("pointermove", drag), { once: true });
  }
  event.preventDefault(); // Dragging selects no text.

  function drag(dragEvent) {
    const point = new DOMPoint(dragEvent.clientX, dragEvent.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const clampedIndex = (value, length) => Math.min(Math.max(Math.floor(value), 0), length - 1);
    const { row, column, height, width } = grabbed;
    const [top, left] = [row * height, column * width];
    const windowPlace = clampedIndex(point.y - top, height) * width + clampedIndex(point.x - left, width);
    if (windowPlace === grabbed.windowPlace) return;
    grabbed.windowPlace = windowPlace;
    draggedSwitch = grabbed;
    move(grabbed.place, windowPlace);
  }
});

// Moves the frame that shows which value is under the pointer.
function moveFrame(svg, row, column) {
  for (const mark of svg.querySelectorAll(".pointed-at")) {
    mark.setAttribute("x", column);
    mark.setAttribute("y", row);
  }
}

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest(CODE);
  const place = svg && placeUnder(svg, event);
  if (svg) moveFrame(svg, ...(place ? pixelOf(svg, place) : [-9, -9]));
});
document.addEventListener("pointerout", (event) => {
  const svg = event.target.closest(CODE);
  if (svg && !svg.contains(event.relatedTarget)) moveFrame(svg, -9, -9);
});
