"use strict";

// A card's pictures and curves lie in its script element as text; they are decoded when the card comes near.
const SVG = "http://www.w3.org/2000/svg";
const cards = [...document.querySelectorAll(".card")];
const slider = (card) => card.querySelector("input[type=range]");

function fill(card) {
  if (card.data) return;
  const source = card.querySelector("script");
  card.data = JSON.parse(source.textContent);
  source.remove();
  picture(card.querySelector("[data-base]"), card.data.base);
  for (const [place, side] of card.data.sides.entries()) {
    const here = card.querySelectorAll("[data-metric]")[place];
    picture(here.querySelector(".picture"), side.strip && side.strip.uri);
    draw(here.querySelector(".curve"), side.curve);
  }
  show(card);
}

function picture(element, uri) {
  if (!uri) return element.classList.add("unreadable");
  element.style.backgroundImage = `url(${uri})`;
}

function scale(curve) {
  const known = curve.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known);
  const last = Math.max(1, curve.length - 1);
  return { x: (at) => 100 * at / last, y: (value) => 28 - 26 * (value - low) / (high - low || 1) };
}

function draw(svg, curve) {
  const { x, y } = scale(curve);
  let pen = "M";
  const steps = curve.map((value, at) => {
    if (value === null) { pen = "M"; return ""; }
    const step = `${pen}${x(at).toFixed(2)} ${y(value).toFixed(2)}`;
    pen = "L";
    return step;
  });
  const path = svg.appendChild(document.createElementNS(SVG, "path"));
  path.setAttribute("d", steps.join(""));
  svg.appendChild(document.createElementNS(SVG, "line"));
}

function show(card) {
  fill(card);
  const at = Number(slider(card).value);
  card.querySelector(".slide output").textContent = `iteration ${at} of ${slider(card).max}`;
  for (const [place, side] of card.data.sides.entries()) {
    const here = card.querySelectorAll("[data-metric]")[place];
    const own = Math.max(0, Math.min(at, side.curve.length - 1));
    if (side.strip) {
      const frame = side.strip.at[own], count = side.strip.count;
      const shown = here.querySelector(".picture");
      shown.style.backgroundSize = `${100 * count}% 100%`;
      shown.style.backgroundPosition = `${count > 1 ? 100 * frame / (count - 1) : 0}% 0`;
      shown.dataset.frame = frame;
    }
    const line = here.querySelector("line"), { x } = scale(side.curve);
    for (const [name, value] of Object.entries({ x1: x(own), x2: x(own), y1: 0, y2: 30 })) line.setAttribute(name, value);
    const loss = side.curve[own];
    here.querySelector(".reading").textContent =
      `loss ${loss === null || loss === undefined ? "not finite" : loss.toPrecision(4)} at ${own}${own === side.best ? " (best)" : ""}`;
  }
}

function best(card) {
  fill(card);
  slider(card).value = Math.max(...card.data.sides.map((side) => side.best));
  show(card);
}

for (const card of cards) {
  slider(card).addEventListener("input", () => show(card));
  card.querySelector(".best").addEventListener("click", () => best(card));
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    if (entry.target.classList.contains("card")) fill(entry.target);
    else { entry.target.src = entry.target.dataset.picture; entry.target.removeAttribute("data-picture"); }
  }
}, { rootMargin: "600px" });
for (const element of [...cards, ...document.querySelectorAll("img[data-picture]")]) near.observe(element);

const choice = (name) => (document.getElementById(name) || { value: "" }).value;

function filter() {
  const outcome = choice("outcome"), metric = choice("metric"), set = choice("set"), words = choice("words").trim().toLowerCase();
  let count = 0;
  for (const card of cards) {
    const sides = [...card.querySelectorAll("[data-metric]")].filter((side) => !metric || side.dataset.metric === metric);
    const fits = sides.some((side) => !outcome || side.dataset.outcomes.split("|").includes(outcome))
      && (!set || card.dataset.set === set) && words.split(/\s+/).every((word) => card.dataset.prompt.includes(word));
    card.hidden = !fits;
    count += fits;
  }
  document.getElementById("count").textContent = `${count} of ${cards.length}`;
  document.getElementById("nothing").hidden = count > 0;
}

const form = document.getElementById("filter");
if (form) {
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter(); // a browser keeps what was chosen over a reload
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, textarea, input:not([type=range]), .scroll")) return;
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
