"use strict";

// Every picture and curve is in the page; this script lets a reader choose what is shown and move through iterations.
const cards = [...document.querySelectorAll(".card")];
const slider = (card) => card.querySelector("input[type=range]");
const sidesOf = (card) => [...card.querySelectorAll("[data-metric]")];

function data(card) {
  if (!card.data) card.data = JSON.parse(card.querySelector("script").textContent);
  return card.data;
}

function show(card) {
  const at = Number(slider(card).value);
  card.querySelector(".slide output").textContent = `iteration ${at} of ${slider(card).max}`;
  for (const [place, side] of data(card).entries()) {
    const here = sidesOf(card)[place];
    const last = side.curve.length - 1;
    const own = Math.max(0, Math.min(at, last));
    const shown = here.querySelector("img.picture");
    if (shown) {
      const frame = side.at[own];
      shown.style.objectPosition = `${side.count > 1 ? 100 * frame / (side.count - 1) : 0}% 0`;
      shown.dataset.frame = frame;
    }
    const line = here.querySelector("line");
    for (const name of ["x1", "x2"]) line.setAttribute(name, 100 * own / Math.max(1, last));
    line.classList.add("placed");
    const score = side.curve[own];
    here.querySelector(".reading").textContent =
      `score ${score === null || score === undefined ? "not finite" : Number(score.toPrecision(4))} at iteration ${own}${own === side.best ? " (best)" : ""}`;
  }
}

function best(card) {
  const shown = sidesOf(card).map((side, place) => side.hidden ? 0 : data(card)[place].best);
  slider(card).value = Math.max(0, ...shown);
  show(card);
}

for (const card of cards) {
  slider(card).addEventListener("input", () => show(card));
  card.querySelector(".best").addEventListener("click", () => best(card));
}

const choice = (name) => (document.getElementById(name) || { value: "" }).value;

function isChosen(side, metric, settings) {
  if (metric && side.dataset.metric !== metric) return false;
  if (settings === "*") return true;
  return settings ? side.dataset.settings === settings.slice(1) : "first" in side.dataset;
}

function choose() {
  const outcome = choice("outcome"), metric = choice("metric"), settings = choice("settings");
  const set = choice("set"), words = choice("words").trim().toLowerCase();
  let count = 0;
  for (const card of cards) {
    let fits = false;
    for (const side of sidesOf(card)) {
      side.hidden = !isChosen(side, metric, settings);
      fits ||= !side.hidden && (!outcome || side.dataset.outcomes.split("|").includes(outcome));
    }
    fits &&= (!set || card.dataset.set === set) && words.split(/\s+/).every((word) => card.dataset.prompt.includes(word));
    card.hidden = !fits;
    count += fits;
  }
  document.getElementById("count").textContent = `${count} of ${cards.length} cards`;
  document.getElementById("nothing").hidden = count > 0;
}

const form = document.getElementById("filter");
if (form) {
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  choose(); // a browser keeps what was chosen over a reload
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, textarea, input:not([type=range]), .scroll, .plate")) return;
  const card = event.target.closest(".card");
  if (event.key === "j" || event.key === "k") {
    const shown = cards.filter((one) => !one.hidden);
    const place = shown.indexOf(card) + (event.key === "j" ? 1 : card ? -1 : 0);
    if (shown[place]) { shown[place].focus(); shown[place].scrollIntoView({ block: "nearest" }); }
  } else if (card && event.key === "b") {
    best(card);
  } else if (card && event.target.type !== "range" && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    slider(card).value = Number(slider(card).value) + (event.key === "ArrowRight" ? 1 : -1);
    show(card);
    event.preventDefault();
  }
});

for (const kind of ["beforeprint", "afterprint"]) {
  addEventListener(kind, () => {
    for (const details of document.querySelectorAll("details")) {
      if (kind === "beforeprint") { details.dataset.was = details.open; details.open = true; }
      else details.open = details.dataset.was === "true";
    }
  });
}
