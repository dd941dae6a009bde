// Plays the decoder's first unpooling window by window: each value of the code goes to the place that its switch names.
const PLAY_MILLISECONDS = 8000; // of all windows
const SLOWEST = 200; // milliseconds a window
const FASTEST = 30;
const SEEN_MOVING = 100; // the fewest milliseconds a window at which the eye can follow a moving value

const section = document.querySelector("#unpooling");
const drawing = section.querySelector("svg");
const [button, slider, text] = ["button", "input", "p.step"].map((selector) => section.querySelector(selector));
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

let played; // values and places of one channel, as the program sent them; null for an average
let done = 0; // windows whose values are in place
let timer = null; // of the next window, while it plays

export function showUnpooling(unpooling) {
  const isSame = JSON.stringify(unpooling) === JSON.stringify(played);
  if (isSame) return;
  if (unpooling?.values.length !== played?.values.length) pause();
  played = unpooling;
  section.querySelector(".none").hidden = played !== null;
  section.querySelector(".player").hidden = played === null;
  if (section.open) draw();
}

// Lengths in pixels of the unpooled picture. The code is drawn to its left, in the same size.
function lengths() {
  const [[rows, columns], [height, width]] = [played.windows, played.pool];
  const right = columns * width + Math.max(2, Math.round(columns * width * 0.1));
  return { rows, columns, height, width, right };
}

function grey(value, brightest) {
  const share = value / brightest;
  const level = Math.round(255 * Math.min(Math.max(share, 0), 1));
  return `rgb(${level},${level},${level})`;
}

function draw() {
  if (!played) return;
  const { rows, columns, height, width, right } = lengths();
  const square = (left, top, wide, tall) => `M${left} ${top}h${wide}v${tall}h${-wide}z`;
  const brightest = Math.max(...played.values, 1e-6);
  const whole = square(0, 0, columns * width, rows * height);
  const parts = played.values.map((value, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    const place = played.places[index];
    const [left, top] = [right + column * width + (place % width), row * height + Math.floor(place / width)];
    const fill = grey(value, brightest);
    const code = `<path fill="${fill}" d="${square(column * width, row * height, width, height)}"/>`;
    return [code, value ? `<path class="put" fill="${fill}" d="${square(left, top, 1, 1)}"/>` : "<g></g>"];
  });
  const lines = Array.from({ length: rows + 1 }, (_, row) => `M${right} ${row * height}h${columns * width}`).join("");
  const uprights = Array.from({ length: columns + 1 }, (_, column) => `M${right + column * width} 0v${rows * height}`);
  const frames = ["code", "window"].map((kind) => `<path class="now under"/><path class="now" data-of="${kind}"/>`);
  drawing.setAttribute("viewBox", `0 0 ${right + columns * width} ${rows * height}`);
  drawing.innerHTML =
    `<path class="ground" d="${whole}"/><path class="ground" transform="translate(${right})" d="${whole}"/>` +
    `<g>${parts.map(([code]) => code).join("")}</g><path class="lines" d="${lines}${uprights.join("")}"/>` +
    `<g class="all-put">${parts.map(([, put]) => put).join("")}</g>${frames.join("")}`;
  drawing.setAttribute("aria-label", `${played.title}: the code, and its values in their places`);
  slider.max = played.values.length;
  go(Math.min(done, played.values.length), false);
}

function go(to, isMoving) {
  const puts = drawing.querySelector(".all-put").children;
  for (let index = 0; index < puts.length; index++) puts[index].classList.toggle("waits", index >= to);
  if (isMoving && to === done + 1) move(to - 1, puts[to - 1]);
  done = to;
  slider.value = done;
  text.textContent = sentence();
  slider.setAttribute("aria-valuetext", text.textContent);
  frameNow();
}

// Moves a value from its square in the code, which is as large as a window, to its place.
function move(index, put) {
  if (isCalm.matches) return;
  const { columns, height, width, right } = lengths();
  const place = played.places[index];
  const [x, y] = [-right - (place % width), -Math.floor(place / width)];
  const from = `translate(${x}px, ${y}px) scale(${width}, ${height})`;
  put.animate([{ transform: from }, { transform: "none" }], { duration: 0.9 * milliseconds(), easing: "ease-out" });
}

function frameNow() {
  const { columns, height, width, right } = lengths();
  const index = done - 1;
  const [row, column] = [Math.floor(index / columns), index % columns];
  for (const frame of drawing.querySelectorAll(".now[data-of]")) {
    const left = column * width + (frame.dataset.of === "window" ? right : 0);
    const box = done ? `M${left} ${row * height}h${width}v${height}h${-width}z` : "";
    for (const path of [frame.previousElementSibling, frame]) path.setAttribute("d", box);
  }
}

function sentence() {
  const { columns } = lengths();
  const count = played.values.length;
  if (!done) return `${played.title}: 0 of ${count} windows are unpooled.`;
  const [value, place] = [played.values[done - 1], played.places[done - 1]];
  const where = `Row ${Math.floor((done - 1) / columns) + 1}, column ${((done - 1) % columns) + 1}`;
  const what = value ? `${value.toFixed(2)} goes to place ${place}` : "the value is 0, so all places stay 0";
  return `${where}: ${what}. ${done} of ${count} windows are unpooled.`;
}

const milliseconds = () => Math.min(Math.max(PLAY_MILLISECONDS / played.values.length, FASTEST), SLOWEST);

function play() {
  if (done === played.values.length) go(0, false);
  button.textContent = "Pause";
  // If there are very many windows, each step unpools several, and shows no movement.
  const step = Math.max(1, Math.round((FASTEST * played.values.length) / PLAY_MILLISECONDS));
  timer = setInterval(() => {
    go(Math.min(done + step, played.values.length), milliseconds() >= SEEN_MOVING);
    if (done === played.values.length) pause();
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
