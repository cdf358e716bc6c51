// The page: chooses a photo, asks the worker for its logits, and draws mask and scores at every move.

import * as pixels from "./pixels.js";

const LARGEST = 50e6; // pixels of a photo, as in carvana_lib.segmenter
const SHOWN = 960; // the longest side of the picture; scores and cut-out have the photo's own size

const here = (path) => new URL(path, import.meta.url).href;
const element = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const say = (text) => (element("status").textContent = text);

const settings = await (await fetch(here("./cars.json"))).json();
const worker = new Worker(here("./worker.js"), { type: "module" });
let current = null; // the photo shown, with what was computed for it
let requests = 0; // the newest request's number; answers to older ones are dropped
let busy = false;
let asked = null; // the request that the worker has
let waiting = null; // what it gets when it is free: only the newest

// --- photos ---------------------------------------------------------------------------------

/** The pixels of an image file, turned as its EXIF says. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  if (bitmap.width * bitmap.height > LARGEST) {
    const millions = Math.round((bitmap.width * bitmap.height) / 1e6);
    throw new RangeError(`has ${millions} megapixels, more than ${LARGEST / 1e6}: make it smaller first.`);
  }
  const context = canvasOf(bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return pixels.fromCanvas(context.getImageData(0, 0, bitmap.width, bitmap.height));
}

function canvasOf(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return canvas.getContext("2d", { willReadFrequently: true });
}

async function download(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
  return answer.blob();
}

async function openCar() {
  const car = settings.cars.find(({ id }) => id === chosen("car"));
  const view = Number(element("view").value);
  const name = `${car.id}_${String(view).padStart(2, "0")}`;
  await open(`${car.name}, view ${view}`, name, async () => {
    const [photo, truth] = await Promise.all([
      download(here(`./cars/${name}.jpg`)).then(decode),
      download(here(`./cars/${name}.png`)).then(decode),
    ]);
    return { photo, truth: { ...truth, data: truth.data.filter((_, i) => i % 3 === 0).map((v) => Number(v > 127)) } };
  });
}

async function openFile() {
  const [file] = element("file").files;
  if (!file) return;
  document.querySelectorAll("input[name=car]").forEach((input) => (input.checked = false));
  await open(file.name, file.name.replace(/\.[^.]*$/, ""), async () => ({ photo: await decode(file) }));
}

/** Read a photo and send it to the net; whatever fails is said in a sentence. */
async function open(title, name, read) {
  const id = ++requests;
  element("demo").dataset.state = "working";
  say(`${title}: the net is at work.`);
  try {
    const { photo, truth } = await read();
    if (id !== requests) return;
    ask({ id, title, name, photo, truth });
  } catch (error) {
    if (id !== requests) return;
    const reason = error instanceof RangeError ? error.message : "is not an image that this browser reads.";
    fail(`${title} ${reason} Choose another photo.`);
  }
}

function fail(sentence) {
  element("demo").dataset.state = "failed";
  say(sentence);
}

// --- the net --------------------------------------------------------------------------------

function ask(request) {
  if (busy) {
    waiting = request;
    return;
  }
  busy = true;
  asked = request;
  worker.postMessage({ id: request.id, photo: pixels.resize(request.photo, ...settings.size) });
}

worker.onmessage = ({ data }) => {
  if (data.ready) return;
  if (data.id !== undefined) {
    busy = false;
    if (waiting) ask(waiting);
    waiting = null;
  }
  if (data.failed) fail(`The net cannot run in this browser (${data.failed}).`);
  else if (data.id === requests) show(asked, data);
};
worker.onerror = () => fail("The net cannot run in this browser: a current one is needed.");

// --- picture and scores ---------------------------------------------------------------------

function show({ title, name, photo, truth }, { logits, seconds }) {
  const [width, height] = pixels.fit(photo, SHOWN);
  const small = pixels.resize(photo, width, height);
  current = { title, name, photo, truth, logits, small, smallLogits: pixels.upsample(logits, width, height) };
  const own = photo.width > SHOWN || photo.height > SHOWN ? `, shown at ${width} x ${height}` : "";
  say(`${title}: ${photo.width} x ${photo.height} pixels${own}. The net took ${seconds.toFixed(1)} s.`);
  for (const input of document.querySelectorAll("input[name=show][value=errors]")) {
    input.disabled = !truth;
    if (!truth && input.checked) document.querySelector("input[name=show][value=mask]").checked = true;
  }
  element("download").disabled = false;
  element("demo").dataset.state = "done";
  draw();
}

function draw() {
  for (const id of ["threshold", "opacity"]) element(`${id}-number`).value = Number(element(id).value).toFixed(2);
  element("view-number").value = element("view").value;
  if (!current) return;
  const threshold = Number(element("threshold").value);
  const mask = pixels.cut(current.smallLogits, threshold);
  const view = chosen("show");
  const picture = pictureOf(view, mask);
  const canvas = element("picture");
  Object.assign(canvas, { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0);
  canvas.setAttribute("aria-label", `${current.title}: ${view} at threshold ${threshold.toFixed(2)}`);
  canvas.classList.toggle("transparent", view === "cut-out");
  list(numbersOf(mask));
  element("demo").dataset.drawn = `${view} ${threshold}`;
}

function pictureOf(view, mask) {
  if (view === "errors") return pixels.errorMap(current.small, mask, current.truth);
  if (view === "cut-out") return pixels.cutOut(current.small, mask);
  if (view === "photo") return pixels.cutOut(current.small, { ...mask, data: mask.data.map(() => 1) });
  return pixels.overlay(current.small, mask, Number(element("opacity").value));
}

/** Sample photos are shown at their own size, so the mask that is drawn is the one that is scored. */
function numbersOf(mask) {
  const covered = { Car: `${(100 * pixels.share(mask)).toFixed(1)} % of the photo` };
  if (!current.truth) return covered;
  const { dice, accuracy, missed, extra } = pixels.score(mask, current.truth);
  return {
    Dice: dice.toFixed(4), Accuracy: accuracy.toFixed(4),
    Missed: `${missed} pixels`, Extra: `${extra} pixels`, ...covered,
  };
}

function list(numbers) {
  const items = Object.entries(numbers).map(([name, value]) => {
    const item = document.createElement("div");
    item.append(
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    );
    return item;
  });
  element("scores").replaceChildren(...items);
}

function save() {
  const { photo, logits, name } = current;
  const full = pixels.upsample(logits, photo.width, photo.height);
  const picture = pixels.cutOut(photo, pixels.cut(full, Number(element("threshold").value)));
  const context = canvasOf(photo.width, photo.height);
  context.putImageData(new ImageData(picture.data, photo.width, photo.height), 0, 0);
  context.canvas.toBlob((blob) => {
    if (!blob) return say("This browser cannot hold a picture of that size: make the photo smaller first.");
    const address = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: address, download: `${name}_cutout.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }, "image/png");
}

// --- wiring ---------------------------------------------------------------------------------

for (const [index, { id, name }] of settings.cars.entries()) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), {
    type: "radio", name: "car", value: id, checked: index === 0,
  });
  const picture = Object.assign(new Image(96, 64), { src: here(`./cars/${id}_03.jpg`), alt: "" });
  label.append(input, picture, name);
  element("cars").append(label);
}
element("cars").addEventListener("change", openCar);
element("view").addEventListener("input", () => {
  if (!chosen("car")) document.querySelector("input[name=car]").checked = true;
  element("view-number").value = element("view").value;
  openCar();
});
element("file").addEventListener("change", openFile);
element("show").addEventListener("change", draw);
element("threshold").addEventListener("input", draw);
element("opacity").addEventListener("input", draw);
element("download").addEventListener("click", save);
element("demo").addEventListener("submit", (event) => event.preventDefault());
openCar();
