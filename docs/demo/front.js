// The picture at the top of the front page. Its probabilities were made when the site was built: no net is fetched.

import * as pixels from "./pixels.js";

const here = (path) => new URL(path, import.meta.url).href;
const element = (id) => document.getElementById(id);

async function read(path) {
  const bitmap = await createImageBitmap(await (await fetch(here(path))).blob(), { colorSpaceConversion: "none" });
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return pixels.fromCanvas(context.getImageData(0, 0, bitmap.width, bitmap.height));
}

const { front } = await (await fetch(here("./cars.json"))).json();
const [photo, target, chance] = await Promise.all(
  [`./cars/${front}.jpg`, `./cars/${front}.png`, "./front.png"].map(read),
);
const { width, height } = photo;
const red = ({ data }) => Uint8Array.from({ length: width * height }, (_, i) => data[3 * i]);
const truth = { data: red(target).map((value) => Number(value > 127)), width, height };
const levels = red(chance); // probability, in 255 steps

function draw() {
  const threshold = Number(element("front-threshold").value);
  const mask = { data: levels.map((level) => Number(level > 255 * threshold)), width, height };
  const picture = pixels.overlay(photo, mask, 0.45);
  element("front-picture").getContext("2d").putImageData(new ImageData(picture.data, width, height), 0, 0);
  element("front-number").value = threshold.toFixed(2);
  element("front-dice").value = `Dice ${pixels.score(mask, truth).dice.toFixed(4)}`;
}

element("front-threshold").addEventListener("input", draw);
draw();
