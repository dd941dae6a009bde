// Plays the decoder's first unpooling window by window: each value of the code goes to the place that its switch names.
const PLAY_MILLISECONDS = 8000; // for all windows together
const LONGEST_STEP = 200; // milliseconds, as are the next two
const SHORTEST_STEP = 30;
const SHORTEST_MOVE = 100; // In fewer milliseconds, the eye cannot follow a moving value.

const section = document.querySelector("#unpooling");
const drawing = section.querySelector("svg");
const [button, slider, text] = ["button", "input", "p.step"].map((selector) => section.querySelector(selector));
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

let played; // values and places of one channel, as the program sent them; null for an average
let unpooledCount = 0; // the number of windows whose values are in place
let timer = null; // the timer of the next step; null while nothing plays

export function showUnpooling(unpooling) {
  const isSame = JSON.stringify(unpooling) === JSON.stringify(played);
  if (isSame) return;
  if (unpooling?.values.length !== played?.values.length) pause();
  played = unpooling;
  section.querySelector(".none").hidden = played !== null;
  section.querySelector(".player").hidden = played === null;
  if (section.open) draw();
}

// The numbers of rows and columns of windows, a window's height and width in pixels, and the left edge of the unpooled
// picture. The code is drawn left of this picture, in the same size.
function lengths() {
  const [[rows, columns], [height, width]] = [played.windows, played.pool];
  const unpooledLeft = columns * width + Math.max(2, Math.round(columns * width * 0.1));
  return { rows, columns, height, width, unpooledLeft };
}

function grey(value, brightest) {
  const share = value / brightest;
  const level = Math.round(255 * Math.min(Math.max(share, 0), 1));
  return `rgb(${level},${level},${level})`;
}

function draw() {
  if (!played) return;
  const { rows, columns, height, width, unpooledLeft } = lengths();
  const rectangle = (left, top, wide, tall) => `M${left} ${top}h${wide}v${tall}h${-wide}z`;
  const brightest = Math.max(...played.values, 1e-6);
  const ground = rectangle(0, 0, columns * width, rows * height);
  const parts = played.values.map((value, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    const place = played.places[index];
    const [left, top] = [unpooledLeft + column * width + (place % width), row * height + Math.floor(place / width)];
    const fill = grey(value, brightest);
    const code = `<path fill="${fill}" d="${rectangle(column * width, row * height, width, height)}"/>`;
    return [code, value ? `<path class="placed" fill="${fill}" d="${rectangle(left, top, 1, 1)}"/>` : "<g></g>"];
  });
  const [horizontal, vertical] = [`h${columns * width}`, `v${rows * height}`];
  const horizontals = Array.from({ length: rows + 1 }, (_, row) => `M${unpooledLeft} ${row * height}${horizontal}`);
  const verticals = Array.from({ length: columns + 1 }, (_, index) => `M${unpooledLeft + index * width} 0${vertical}`);
  const frames = ["code", "window"].map((kind) => `<path class="now under"/><path class="now" data-of="${kind}"/>`);
  drawing.setAttribute("viewBox", `0 0 ${unpooledLeft + columns * width} ${rows * height}`);
  drawing.innerHTML =
    `<path class="ground" d="${ground}"/><path class="ground" transform="translate(${unpooledLeft})" d="${ground}"/>` +
    `<g>${parts.map(([code]) => code).join("")}</g>` +
    `<path class="lines" d="${[...horizontals, ...verticals].join("")}"/>` +
    `<g class="all-placed">${parts.map(([, placed]) => placed).join("")}</g>${frames.join("")}`;
  drawing.setAttribute("aria-label", `${played.title}: the code, and its values in their places`);
  slider.max = played.values.length;
  go(Math.min(unpooledCount, played.values.length), false);
}

// Shows the picture after `count` windows.
function go(count, isMoving) {
  const values = drawing.querySelector(".all-placed").children;
  for (let index = 0; index < values.length; index++) values[index].classList.toggle("waits", index >= count);
  if (isMoving && count === unpooledCount + 1) move(count - 1, values[count - 1]);
  unpooledCount = count;
  slider.value = unpooledCount;
  text.textContent = sentence();
  slider.setAttribute("aria-valuetext", text.textContent);
  frameLastWindow();
}

// Moves a value from its square in the code, which is as large as a window, to its place.
function move(index, element) {
  if (reducedMotion.matches) return;
  const { columns, height, width, unpooledLeft } = lengths();
  const place = played.places[index];
  const [x, y] = [-unpooledLeft - (place % width), -Math.floor(place / width)];
  const from = `translate(${x}px, ${y}px) scale(${width}, ${height})`;
  element.animate([{ transform: from }, { transform: "none" }], { duration: 0.9 * milliseconds(), easing: "ease-out" });
}

function frameLastWindow() {
  const { columns, height, width, unpooledLeft } = lengths();
  const index = unpooledCount - 1;
  const [row, column] = [Math.floor(index / columns), index % columns];
  for (const frame of drawing.querySelectorAll(".now[data-of]")) {
    const left = column * width + (frame.dataset.of === "window" ? unpooledLeft : 0);
    const box = unpooledCount ? `M${left} ${row * height}h${width}v${height}h${-width}z` : "";
    for (const path of [frame.previousElementSibling, frame]) path.setAttribute("d", box);
  }
}

function sentence() {
  const { columns } = lengths();
  const count = played.values.length;
  if (!unpooledCount) return `${played.title}: 0 of ${count} windows are unpooled.`;
  const [value, place] = [played.values[unpooledCount - 1], played.places[unpooledCount - 1]];
  const where = `Row ${Math.floor((unpooledCount - 1) / columns) + 1}, column ${((unpooledCount - 1) % columns) + 1}`;
  const what = value ? `${value.toFixed(2)} goes to place ${place}` : "the value is 0, so all places stay 0";
  return `${where}: ${what}. ${unpooledCount} of ${count} windows are unpooled.`;
}

const milliseconds = () => Math.min(Math.max(PLAY_MILLISECONDS / played.values.length, SHORTEST_STEP), LONGEST_STEP);

function play() {
  if (unpooledCount === played.values.length) go(0, false);
  button.textContent = "Pause";
  // If there are very many windows, each step unpools several windows, and shows no movement.
  const step = Math.max(1, Math.round((SHORTEST_STEP * played.values.length) / PLAY_MILLISECONDS));
  timer = setInterval(() => {
    go(Math.min(unpooledCount + step, played.values.length), milliseconds() >= SHORTEST_MOVE);
    if (unpooledCount === played.values.length) pause();
  }, milliseconds());
}

function pause() {
  clearInterval(timer);
  timer = null;
  button.textContent = "Play";
}

button.addEventListener("click", () => (timer ? pause() : play()));
slider.addEventListener("input", () => {
  pause();
  go(Number(slider.value), true);
});
section.addEventListener("toggle", () => (section.open ? draw() : pause()));
