// The page "One threshold for all photos": from two histograms of each photo, the scores at every threshold.

import { Failure, download } from "./net.js";

const LOWEST = 0.97; // where the Dice axis begins: both ends of the curve are far below
const EDGE = { left: 60, right: 14, top: 14, bottom: 48 }; // pixels around the curve
const DASHES = ["", "7 4", "2 3"]; // a way to draw each car's line

const here = (path) => new URL(path, import.meta.url).href;
const element = (id) => document.getElementById(id);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Dice and accuracy of a photo at each threshold: what lies in later steps is above the threshold. */
export function scores({ car, background }) {
  const sum = (counts) => counts.reduce((a, b) => a + b, 0);
  const cars = sum(car), pixels = cars + sum(background);
  let inside = cars, outside = pixels - cars; // car and background above the threshold
  return car.map((_, step) => {
    inside -= car[step];
    outside -= background[step];
    const marked = inside + outside;
    return {
      dice: marked + cars ? (2 * inside) / (marked + cars) : 1,
      accuracy: (inside + pixels - cars - outside) / pixels,
    };
  });
}

function svg(name, attributes, text = "") {
  const part = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
  part.textContent = text;
  return part;
}

async function start() {
  const photos = (await download("./curve.json", (answer) => answer.json())).map((photo) => ({ ...photo, at: scores(photo) }));
  const steps = photos[0].at.length;
  const curveOf = (some, score = "dice") => Array.from({ length: steps }, (_, step) => mean(some.map(({ at }) => at[step][score])));
  const all = curveOf(photos), accuracy = curveOf(photos, "accuracy");
  const cars = [...new Set(photos.map(({ label }) => label))].map((label, index) => ({
    label, curve: curveOf(photos.filter((photo) => photo.label === label)), dash: DASHES[index % DASHES.length],
  }));
  const best = all.indexOf(Math.max(...all));
  const slider = element("curve-threshold");
  const picture = element("curve-picture");
  let place; // (step, Dice) -> [x, y]

  /** Axes and lines, as wide as the page allows: letters keep their size. */
  function drawAxes() {
    const width = picture.parentElement.clientWidth, height = Math.max(260, Math.min(380, width * 0.6));
    const [right, bottom] = [width - EDGE.right, height - EDGE.bottom];
    place = (step, dice) => [
      EDGE.left + (step / (steps - 1)) * (right - EDGE.left),
      bottom - ((Math.max(dice, LOWEST) - LOWEST) / (1 - LOWEST)) * (bottom - EDGE.top),
    ];
    // A line that leaves the axes below is cut off there.
    const line = (curve) => curve.map((dice, step) => (dice < LOWEST ? "" : place(step, dice).map((v) => v.toFixed(1)).join())).join(" ");
    const parts = [];
    for (const tick of [0.97, 0.98, 0.99, 1]) {
      const [, y] = place(0, tick);
      parts.push(svg("line", { class: "grid", x1: EDGE.left, x2: right, y1: y, y2: y }));
      parts.push(svg("text", { x: EDGE.left - 8, y: y + 5, "text-anchor": "end" }, tick.toFixed(2)));
    }
    for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      const [x] = place(tick * (steps - 1), LOWEST);
      parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: EDGE.top, y2: bottom }));
      parts.push(svg("text", { x, y: bottom + 19, "text-anchor": "middle" }, tick.toFixed(1)));
    }
    parts.push(svg("text", { x: (EDGE.left + right) / 2, y: bottom + 40, "text-anchor": "middle" }, "threshold"));
    const middle = (EDGE.top + bottom) / 2;
    parts.push(svg("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, "Dice"));
    for (const { curve, dash } of cars) parts.push(svg("polyline", { class: "car", points: line(curve), "stroke-dasharray": dash }));
    parts.push(svg("polyline", { class: "all", points: line(all) }));
    parts.push(svg("line", { id: "curve-mark", y1: EDGE.top, y2: bottom }), svg("circle", { id: "curve-dot", r: 7 }));
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.style.height = `${height}px`;
    picture.replaceChildren(...parts);
    draw();
  }

  function draw() {
    const step = Math.round(slider.value * (steps - 1));
    const dice = all[step].toFixed(5);
    const worst = photos.reduce((low, photo) => (photo.at[step].dice < low.at[step].dice ? photo : low));
    const name = `${worst.label}, view ${worst.view}`;
    const [x, y] = place(step, all[step]);
    for (const end of ["x1", "x2"]) element("curve-mark").setAttribute(end, x);
    element("curve-dot").setAttribute("cx", x);
    element("curve-dot").setAttribute("cy", y);
    element("curve-dot").classList.toggle("below", all[step] < LOWEST);
    element("curve-number").value = Number(slider.value).toFixed(2);
    slider.setAttribute("aria-valuetext", `${Number(slider.value).toFixed(2)}: mean Dice ${dice}`);
    picture.setAttribute("aria-label", `Mean Dice over the threshold: a broad top, ${dice} at threshold ${Number(slider.value).toFixed(2)}`);
    element("curve-dice").textContent = dice;
    element("curve-accuracy").textContent = accuracy[step].toFixed(4);
    element("curve-worst").textContent = `${worst.at[step].dice.toFixed(4)}: ${name}`;
    const photo = here(`./cars/${worst.name}.jpg`);
    if (element("curve-photo").src !== photo) Object.assign(element("curve-photo"), { src: photo, alt: name });
    element("curve-cars").replaceChildren(...cars.map(({ label, curve, dash }) => {
      const row = document.createElement("tr");
      const key = svg("svg", { width: 44, height: 10, "aria-hidden": "true" });
      key.append(svg("line", { class: "car", x1: 0, x2: 44, y1: 5, y2: 5, "stroke-dasharray": dash }));
      row.append(...["th", "td"].map((part) => document.createElement(part)));
      row.firstChild.scope = "row";
      row.firstChild.append(key, label);
      row.lastChild.textContent = curve[step].toFixed(4);
      return row;
    }));
  }

  function choose(step) {
    slider.value = Math.max(0, Math.min(1, step / (steps - 1)));
    draw();
  }
  slider.addEventListener("input", draw);
  element("curve-to-best").addEventListener("click", () => choose(best));
  element("curve-best").textContent = `${(best / (steps - 1)).toFixed(2)}, with Dice ${all[best].toFixed(5)}`;
  // The dot can be dragged on the curve too.
  const drag = (event) => {
    const { left } = picture.getBoundingClientRect(), [from] = place(0, 1), [to] = place(steps - 1, 1);
    if (event.buttons) choose(Math.round(((event.clientX - left - from) / (to - from)) * (steps - 1)));
  };
  for (const event of ["pointerdown", "pointermove"]) picture.addEventListener(event, drag);
  new ResizeObserver(drawAxes).observe(picture.parentElement);
  drawAxes();
  element("curve").dataset.state = "done";
}

/** What can fail is one file that does not arrive: the sentence says so, and the button asks for it again. */
async function begin() {
  element("curve").dataset.state = "loading";
  try {
    await start();
  } catch (error) {
    element("curve-status").textContent = error instanceof Failure ? error.message : `Something went wrong: ${error}.`;
    element("curve").dataset.state = "failed";
  }
}

if (globalThis.document) {
  element("curve-again").addEventListener("click", begin);
  begin();
}
