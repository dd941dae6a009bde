// The page's state is the query of its address. Each request sends the whole state, and the answer shows that state.
// The program keeps nothing between two requests.
import { canvas } from "./canvas.js";
import { connect } from "./code.js";
import { showUnpooling } from "./unpooling.js";

const find = (selector) => document.querySelector(selector);
const { channels, largestUpload } = find("main").dataset;
// The names that a change of the picture removes from the state. A change of the pixels keeps the test image or the
// upload on which somebody draws.
const REPLACED = {
  image: ["upload", "picture", "pixels"],
  upload: ["image", "picture", "pixels"],
  picture: ["image", "upload", "pixels"],
  pixels: ["picture"],
};
const CONTROLS = [...document.querySelectorAll(".control")];
const QUIET_MILLISECONDS = 300; // After a pause of this length, the changes before it are one step of the history.

let state = new URLSearchParams();
let lastAnswer = null; // All controls show the values of this answer.
let isAsking = false;
let isChanged = false; // whether the state changed since the last request
let quietTimer = null;
let changedNames = ""; // the names in the last change, joined by commas

async function ask(path, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body });
  } catch {
    throw new Error("The program that serves this page does not answer: is it still running?");
  }
  if (!response.ok) throw new Error((await response.text()) || response.statusText);
  return response.json();
}

// Sends one request at a time. If the state changes meanwhile, only the last state is sent next.
async function send() {
  isChanged = true;
  if (isAsking) return;
  isAsking = true;
  while (isChanged) {
    isChanged = false;
    const isDrawn = state.has("pixels");
    try {
      const answer = await ask("show", state.toString());
      show(answer);
      if (!isChanged) accept(answer, isDrawn);
    } catch (error) {
      if (isChanged) continue;
      say(error.message);
      if (lastAnswer) accept(lastAnswer);
    }
  }
  isAsking = false;
}

function change(changes) {
  const names = Object.keys(changes).join();
  if (names !== changedNames) remember(); // A change of other names is another step of the history.
  changedNames = names;
  for (const name of Object.keys(changes)) REPLACED[name]?.forEach((other) => state.delete(other));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") state.delete(name);
    else state.set(name, value);
  }
  say("");
  send();
}

function show(answer) {
  patch(find("#models"), answer.models);
  patch(find("#journey"), answer.journey);
  find("#changes").innerHTML = answer.changes;
  showUnpooling(answer.unpooling);
  find("#source").textContent = answer.source;
}

function accept(answer, isDrawn = false) {
  lastAnswer = answer;
  state = new URLSearchParams(answer.query);
  for (const control of CONTROLS) write(control, answer.values[control.dataset.name]);
  find(`#switches input[value=${answer.values.switches}]`).checked = true;
  if (!isDrawn) picture.show(answer.pixels);
  find("#link").value = `${location.origin}/?${answer.query}`;
  clearTimeout(quietTimer);
  quietTimer = setTimeout(remember, QUIET_MILLISECONDS);
  find("#undo").disabled = !(steps() || isNew());
}

// Undo goes back in the browser's history; the browser's forward button is Redo.
const steps = () => history.state?.steps ?? 0;
const isNew = () => lastAnswer !== null && location.search !== `?${lastAnswer.query}`;

function remember() {
  clearTimeout(quietTimer);
  if (isNew()) history.pushState({ steps: steps() + 1 }, "", `?${lastAnswer.query}`);
}

let isGoingBack = false; // Two steps back at once could leave the page.

find("#undo").addEventListener("click", () => {
  if (isGoingBack) return;
  remember();
  isGoingBack = steps() > 0;
  if (isGoingBack) history.back();
});

async function open() {
  clearTimeout(quietTimer);
  try {
    const answer = await ask("open", location.search.slice(1));
    show(answer);
    accept(answer);
    say(answer.notice);
    clearTimeout(quietTimer);
    history.replaceState(history.state, "", `?${answer.query}`);
    find("#undo").disabled = !steps();
  } catch (error) {
    say(error.message);
  }
}

function say(text) {
  find("#notice").textContent = text;
}

// Changes an element's content to this HTML in place, so that the elements inside keep focus and pointer capture.
function patch(element, html) {
  const fresh = element.cloneNode(false);
  fresh.innerHTML = html;
  update(element, fresh);
}

function update(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [oldChildren, freshChildren] = [[...old.childNodes], [...fresh.childNodes]];
  freshChildren.forEach((child, index) => {
    const existing = oldChildren[index];
    if (!existing) old.append(child);
    else if (existing.nodeName !== child.nodeName) existing.replaceWith(child);
    else if (child.nodeType === Node.TEXT_NODE) existing.data = child.data;
    else update(existing, child);
  });
  oldChildren.slice(freshChildren.length).forEach((child) => child.remove());
  if (old.nodeName === "INPUT" && !old.isTyped) old.value = old.getAttribute("value");
}

function parts(control) {
  return ["range", "number"].map((type) => control.querySelector(`input[type=${type}]`));
}

// Shows in a control the value that the program used.
function write(control, value) {
  const [range, box] = parts(control);
  if (value === null) value = box.value || 0; // The picture is not a test image.
  if (range) {
    // A slider cannot show a value between two of its steps.
    const step = Number(box.step);
    range.step = Math.abs(value / step - Math.round(value / step)) < 1e-9 ? step : "any";
    range.value = value;
  }
  if (!box.isTyped) box.value = value;
}

for (const control of CONTROLS) {
  const { name } = control.dataset;
  const [range, box] = parts(control);
  const note = control.querySelector(".note");
  range?.addEventListener("input", () => {
    note.textContent = "";
    write(control, Number(range.value));
    change({ [name]: range.value });
  });
  box.addEventListener("input", () => (box.isTyped = true));
  box.addEventListener("change", () => {
    box.isTyped = false;
    const [least, most] = [Number(box.min), Number(box.max)];
    let value = Math.min(Math.max(Number(box.value), least), most);
    if (Number.isInteger(Number(box.step))) value = Math.round(value);
    if (box.value === "") {
      const old = lastAnswer.values[name] ?? range?.value ?? 0;
      note.textContent = `This is not a number: ${old} stays.`;
      box.value = old;
      return;
    }
    note.textContent = value === Number(box.value) ? "" : `${box.value} is not a ${
      Number.isInteger(Number(box.step)) ? "whole " : ""}number from ${least} to ${most}: ${value} is used.`;
    write(control, value);
    change({ [name]: value });
  });
}

find("#switches").addEventListener("change", (event) => change({ switches: event.target.value }));

for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => {
    const defaults = { scale: "", noise: "", bits: "", dropped: "", switches: "", seed: "", erased: "", moved: "" };
    change({ ...defaults, ...Object.fromEntries(new URLSearchParams(button.dataset.preset)) });
  });
}

// The picture: drawn, cleared, or uploaded.
const picture = canvas(find("#picture"), Number(channels), (pixels) => change({ pixels }));
let file = null; // the file that was last uploaded
let pictureAfterUpload = ""; // what the state said of the picture after the last upload

find("#clear").addEventListener("click", () => {
  for (const name of ["image", "upload", "picture"]) state.delete(name);
  picture.clear();
});
find("#upload").addEventListener("click", () => find("#file").click());
find("#file").addEventListener("change", async () => {
  file = find("#file").files[0];
  find("#file").value = ""; // so that the same file can be chosen again
  await upload();
});
find("#fit").addEventListener("change", () => upload(true));

async function upload(isAgain = false) {
  // Only an upload is fitted again. A test image has the right size, and a drawing on an upload would be lost.
  const statePicture = () => ["image", "upload", "picture"].map((name) => `${name}=${state.get(name)}`).join();
  if (!file || (isAgain && statePicture() !== pictureAfterUpload)) return;
  if (file.size > Number(largestUpload)) {
    say(`This file is too large: more than ${Number(largestUpload) / 1e6} MB.`);
    return;
  }
  try {
    const fit = find("#fit input:checked").value;
    const answer = await ask(`upload?fit=${fit}`, file);
    change(answer);
    pictureAfterUpload = statePicture();
  } catch (error) {
    say(error.message);
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const box = find(`#${button.dataset.copy}`);
    box.select();
    // Browsers give the clipboard only to pages from this machine.
    if (navigator.clipboard) await navigator.clipboard.writeText(box.value);
    else document.execCommand("copy");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

find("#wipe input").addEventListener("input", (event) => {
  find("#models").style.setProperty("--wipe", event.target.value);
});

connect(() => {
  const [erased, moved] = ["erased", "moved"].map((name) => state.get(name)?.split("_") ?? []);
  const place = state.get("window")?.split("-").map(Number) ?? [];
  return { erased, moved, window: place.length === 4 ? place : lastAnswer?.window };
}, change);
addEventListener("popstate", () => {
  isGoingBack = false;
  open();
});
addEventListener("pagehide", remember);
find("#title details").open = matchMedia("(min-width: 641px)").matches;
open();
