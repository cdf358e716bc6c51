// The page: chooses a photo, asks the net for its logits, and draws mask and scores at every move.

import * as pixels from "./pixels.js";
import { Failure, download, startNet } from "./net.js";

const LARGEST = 50e6; // pixels of a photo
const SHOWN = 960; // the longest side of the picture; scores and cut-out have the photo's own size
const CAPTIONS = {
  mask: "Blue: car at this threshold. Orange: its outline. Hold the picture to see the photo.",
  errors: "Blue: missed car. Orange: background taken for car. Hold the picture to see the photo.",
  photo: "The photo alone.",
  "cut-out": "What the download holds. Hold the picture to see the photo.",
};

const here = (path) => new URL(path, import.meta.url).href;
const element = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const say = (text) => (element("status").textContent = text);
const state = (name) => (element("demo").dataset.state = name);
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

let settings = null; // cars.json
let net = null; // the promise of a function: photo -> logits
let current = null; // the photo shown, with what was computed for it
let held = false; // while the picture is held, it shows the photo
let requests = 0; // the newest request's number; what comes for older ones is dropped
let working = null; // the promise of the net's last answer: it takes one photo at a time
let retry = () => location.reload(); // what "Try again" does

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

const fetchPixels = (path) => download(path, (answer) => answer.blob()).then(decode);

function openCar() {
  if (!settings) return; // the list of cars has not arrived
  const car = settings.cars.find(({ id }) => id === chosen("car"));
  const view = Number(element("view").value);
  const name = `${car.id}_${String(view).padStart(2, "0")}`;
  return open(`${car.name}, view ${view}`, name, openCar, async () => {
    const [photo, truth] = await Promise.all([fetchPixels(`./cars/${name}.jpg`), fetchPixels(`./cars/${name}.png`)]);
    return { photo, truth: { ...truth, data: truth.data.filter((_, i) => i % 3 === 0).map((v) => Number(v > 127)) } };
  });
}

/** A photo of the reader: chosen, taken, dropped or pasted. */
function openFile(file) {
  if (!file || !settings) return;
  document.querySelectorAll("input[name=car]").forEach((input) => (input.checked = false));
  open(file.name, file.name.replace(/\.[^.]*$/, ""), () => element("file").click(), async () => {
    try {
      return { photo: await decode(file) };
    } catch (error) {
      const reason = error instanceof RangeError ? error.message : "is not an image that this browser reads.";
      throw new Failure(`${file.name} ${reason} Choose another photo.`);
    }
  });
}

/** Show a photo at once, then its mask; whatever fails is said in a sentence. */
async function open(title, name, again, read) {
  const id = ++requests;
  // Nothing of the photo before may be shown or saved under the new name.
  current = null;
  draw();
  element("again-line").hidden = true;
  state("working");
  say(`${title}: reading the photo.`);
  net ??= fetchNet();
  net.catch(() => null); // `ask` says what is wrong
  try {
    const { photo, truth } = await read();
    if (id !== requests) return;
    const [width, height] = pixels.fit(photo, SHOWN);
    current = { title, name, photo, truth, small: pixels.resize(photo, width, height) };
    for (const input of document.querySelectorAll("input[name=show][value=errors]")) {
      input.disabled = !truth;
      if (!truth && input.checked) document.querySelector("input[name=show][value=mask]").checked = true;
    }
    draw();
    say(`${title}: the net is at work.`);
    const answer = await ask(id, pixels.resize(photo, ...settings.size));
    if (id === requests) show(answer);
  } catch (error) {
    if (id === requests) fail(error, again);
  }
}

/** The net's answer for the newest photo; older ones that still wait for the net are dropped. */
async function ask(id, photo) {
  const run = await net.catch((error) => {
    net = null; // the next try fetches it again
    throw error;
  });
  while (working) await working.catch(() => null);
  if (id !== requests) return null;
  working = run(photo);
  try {
    return await working;
  } finally {
    working = null;
  }
}

async function fetchNet() {
  const total = settings.net_bytes;
  const tell = (bytes) => {
    element("bytes").value = Math.min(1, bytes / total);
    element("bytes-text").textContent = bytes < total
      ? `Fetching the net: ${megabytes(bytes)} of ${megabytes(total)} MB. Next time your browser has it.`
      : "Starting the net.";
  };
  element("fetching").hidden = false;
  tell(0);
  try {
    return await startNet(tell);
  } finally {
    element("fetching").hidden = true;
  }
}

function fail(error, again) {
  const sentence = error instanceof Failure ? error.message : `Something went wrong: ${error}.`;
  retry = again;
  if (!current) {
    const canvas = element("picture");
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    canvas.style.backgroundImage = "none";
    canvas.setAttribute("aria-label", "No photo");
  }
  say(sentence);
  element("again").textContent = sentence.endsWith("Choose another photo.") ? "Choose another photo" : "Try again";
  element("again-line").hidden = false;
  state("failed");
}

// --- picture and scores ---------------------------------------------------------------------

function show({ logits, seconds }) {
  const { title, photo, small } = current;
  Object.assign(current, { logits, smallLogits: pixels.upsample(logits, small.width, small.height) });
  const own = photo.width > SHOWN || photo.height > SHOWN ? `, shown at ${small.width} x ${small.height}` : "";
  const upright = photo.height > photo.width ? " The net learned from wide photos and sees this upright one squeezed." : "";
  say(`${title}: ${photo.width} x ${photo.height} pixels${own}. The net took ${seconds.toFixed(1)} s.${upright}`);
  draw();
  state("done");
}

function draw() {
  for (const id of ["threshold", "opacity"]) element(`${id}-number`).value = Number(element(id).value).toFixed(2);
  element("view-number").value = element("view").value;
  element("download").disabled = !current?.logits;
  const view = current?.logits && !held ? chosen("show") : "photo";
  element("caption").textContent = CAPTIONS[chosen("show")];
  element("opacity-line").style.visibility = chosen("show") === "mask" ? "visible" : "hidden";
  element("picture").classList.toggle("stale", !current);
  if (!current?.logits) list({ Dice: "\u2026", Accuracy: "\u2026", Missed: "\u2026", Extra: "\u2026", Car: "\u2026" });
  if (!current) return;
  const threshold = Number(element("threshold").value);
  const mask = current.logits && pixels.cut(current.smallLogits, threshold);
  paint(pictureOf(view, mask), view === "cut-out");
  element("picture").setAttribute("aria-label", `${current.title}: ${view} at threshold ${threshold.toFixed(2)}`);
  if (mask) list(numbersOf(mask));
  element("demo").dataset.drawn = `${view} ${threshold}`;
}

function paint(picture, transparent) {
  const canvas = element("picture");
  Object.assign(canvas, { width: picture.width, height: picture.height });
  canvas.style.backgroundImage = "";
  canvas.classList.toggle("transparent", transparent);
  canvas.getContext("2d").putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0);
}

function pictureOf(view, mask) {
  if (view === "errors") return pixels.errorMap(current.small, mask, current.truth);
  if (view === "cut-out") return pixels.cutOut(current.small, mask);
  if (view === "mask") return pixels.overlay(current.small, mask, Number(element("opacity").value));
  const { width, height } = current.small;
  return pixels.cutOut(current.small, { data: new Uint8Array(width * height).fill(1), width, height });
}

/** Sample photos are shown at their own size, so the mask that is drawn is the one that is scored. */
function numbersOf(mask) {
  const covered = { Car: `${(100 * pixels.share(mask)).toFixed(1)} %` };
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

function listCars() {
  const labels = settings.cars.map(({ id, name }, index) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {
      type: "radio", name: "car", value: id, checked: index === 0,
    });
    label.append(input, Object.assign(new Image(96, 64), { src: here(`./cars/${id}_03.jpg`), alt: "" }), name);
    return label;
  });
  element("cars").replaceChildren(...labels);
}

function connect() {
  const on = (id, event, action) => element(id).addEventListener(event, action);
  on("cars", "change", openCar);
  on("view", "input", () => {
    if (!chosen("car")) document.querySelector("input[name=car]").checked = true;
    openCar();
  });
  for (const id of ["file", "camera"]) {
    on(id, "change", () => {
      openFile(element(id).files[0]);
      element(id).value = ""; // the same file may be chosen again
    });
  }
  for (const [id, event] of [["show", "change"], ["threshold", "input"], ["opacity", "input"]]) on(id, event, draw);
  on("download", "click", save);
  on("demo", "submit", (event) => event.preventDefault());
  const hold = (down) => () => {
    held = down;
    draw();
  };
  on("picture", "pointerdown", hold(true));
  for (const event of ["pointerup", "pointercancel", "pointerleave"]) on("picture", event, hold(false));
  on("picture", "contextmenu", (event) => held && event.preventDefault());
  connectFiles();
}

/** Photos that are dropped on the page or pasted into it. */
function connectFiles() {
  const dropping = (is) => element("demo").classList.toggle("dropping", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    dropping(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || dropping(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dropping(false);
    openFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => openFile(event.clipboardData.files[0]));
}

async function begin() {
  element("again-line").hidden = true;
  state("loading");
  say("Loading.");
  try {
    settings = await download("./cars.json", (answer) => answer.json());
  } catch (error) {
    return fail(error, begin);
  }
  listCars();
  await openCar();
}

element("again").addEventListener("click", () => retry());
connect();
begin();
