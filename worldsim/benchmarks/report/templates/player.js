"use strict";
const cards = [...document.querySelectorAll("article")];
const players = JSON.parse(document.getElementById("data").textContent).map((data, i) => new Player(cards[i], data));
let current = 0;

function Player(card, data) {
  const find = what => card.querySelector(what);
  const screens = [...card.querySelectorAll("canvas[data-screen]")];
  const slider = find("input[type=range]");
  const play = find("[data-do=play]");
  const heads = [...card.querySelectorAll(".strip line")];
  const thumbs = [...card.querySelectorAll("button[data-at]")];
  const shown = { masks: true, marks: true };
  const last = data.frames.length - 1;
  let at = data.start, loaded = null, timer = 0, began = 0, from = 0;

  // Pictures are decoded when the card comes near, not all at once.
  this.load = () => {
    loaded ??= Promise.all(["video", "masks", "truth"].filter(name => data[name]).map(async name => {
      data[name].images = await Promise.all(data[name].sources.map(async source => {
        const image = new Image();
        await new Promise((resolve, reject) => {
          image.onload = resolve;
          image.onerror = () => reject(new Error("a picture of " + data.name + " cannot be read"));
          image.src = source;
        });
        return image;
      }));
    })).then(() => {
      for (const thumb of thumbs) picture(thumb.querySelector("canvas"), Number(thumb.dataset.at), "video");
      draw();
      card.dataset.ready = "yes";
    });
    return loaded;
  };

  function paint(context, sheets, frame, zoom) {
    const each = sheets.columns * sheets.rows, place = frame % each;
    const x = place % sheets.columns * sheets.width, y = Math.floor(place / sheets.columns) * sheets.height;
    const image = sheets.images[Math.floor(frame / each)];
    context.drawImage(image, x, y, sheets.width, sheets.height, 0, 0, sheets.width * zoom, sheets.height * zoom);
  }

  function picture(canvas, frame, name) {
    const sheets = data[name];
    // Small pictures are enlarged by whole steps with hard edges, so that their pixels can be told apart.
    const zoom = Math.max(1, Math.ceil(480 / sheets.height));
    const context = canvas.getContext("2d");
    canvas.width = sheets.width * zoom;
    canvas.height = sheets.height * zoom;
    context.imageSmoothingEnabled = false;
    paint(context, sheets, frame, zoom);
    if (name === "video" && shown.masks) paint(context, data.masks, frame, zoom);
    if (name === "video" && shown.marks) for (const mark of data.marks[frame]) ring(context, mark, zoom);
  }

  function ring(context, [u, v, law], zoom) {
    const size = Math.max(12, context.canvas.height / 24) * (law ? 1.9 : 0.7);
    const outline = () => {
      context.beginPath();
      if (!law) context.arc(u * zoom, v * zoom, size, 0, 7);
      else for (const [dx, dy] of [[0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]])
        context.lineTo(u * zoom + dx * size, v * zoom + dy * size);
      context.closePath();
      context.stroke();
    };
    context.lineWidth = size / 3;
    context.strokeStyle = "#fff";
    outline();
    context.lineWidth = size / 6;
    context.strokeStyle = law ? "#d0480a" : "#111";
    outline();
  }

  function draw() {
    slider.value = at;
    slider.setAttribute("aria-valuetext", "frame " + data.frames[at]);
    for (const head of heads) { head.setAttribute("x1", at + .5); head.setAttribute("x2", at + .5); }
    const seconds = (data.frames[at] / data.fps).toFixed(2);
    const given = data.frames[at] < data.context ? ", given" : "";
    find(".clock").textContent = "frame " + data.frames[at] + given + " · " + seconds + " s";
    const said = new Map(data.marks[at].map(mark => [mark[3], mark[2]]));
    find(".said").replaceChildren(...[...said].slice(0, 6).map(([text, law]) => {
      const line = document.createElement("li");
      line.textContent = text;
      if (law) line.className = "law-mark";
      return line;
    }));
    if (!data.video.images) return;
    for (const screen of screens) picture(screen, at, screen.dataset.screen);
  }

  this.show = frame => { at = Math.min(last, Math.max(0, frame)); draw(); };
  this.step = by => { this.pause(); this.show(at + by); };
  this.end = () => { this.pause(); this.show(last); };
  this.home = () => { this.pause(); this.show(0); };
  this.pause = () => { cancelAnimationFrame(timer); timer = 0; play.textContent = "▶"; };
  this.toggle = () => timer ? this.pause() : this.play();
  this.play = async () => {
    for (const other of players) other.pause();
    await this.load();
    play.textContent = "❚❚";
    if (at === last) at = 0;
    began = performance.now();
    from = data.frames[at];
    const tick = now => {
      const due = from + (now - began) / 1000 * data.fps;
      const ended = due > data.frames[last] + 1;
      while (at < last && data.frames[at + 1] <= due) at += 1;
      if (ended) { at = 0; began = now; from = 0; }
      draw();
      timer = requestAnimationFrame(tick);
    };
    timer = requestAnimationFrame(tick);
  };
  this.switch = name => {
    shown[name] = !shown[name];
    find("[data-do=" + name + "]").setAttribute("aria-pressed", shown[name]);
    draw();
  };
  this.worst = () => {
    if (!thumbs.length) return;
    const order = thumbs.map(thumb => Number(thumb.dataset.at));
    this.pause();
    this.show(order[(order.indexOf(at) + 1) % order.length]);
  };

  const deeds = {
    play: this.toggle, back: () => this.step(-1), next: () => this.step(1),
    masks: () => this.switch("masks"), marks: () => this.switch("marks"),
  };
  for (const button of card.querySelectorAll("button[data-do]"))
    button.addEventListener("click", () => deeds[button.dataset.do]());
  for (const thumb of thumbs)
    thumb.addEventListener("click", () => { this.pause(); this.show(Number(thumb.dataset.at)); });
  slider.addEventListener("input", () => { this.pause(); this.show(Number(slider.value)); });
  for (const screen of screens) screen.addEventListener("click", this.toggle);
  for (const strip of card.querySelectorAll(".strip svg"))
    strip.addEventListener("click", event => {
      const box = strip.getBoundingClientRect();
      this.pause();
      this.show(Math.floor((event.clientX - box.left) / box.width * data.frames.length));
    });
  card.addEventListener("pointerdown", () => select(cards.indexOf(card)));
  card.addEventListener("focusin", () => select(cards.indexOf(card)));
  draw();
}

function select(index) {
  current = index;
  cards.forEach((card, i) => card.classList.toggle("current", i === index));
}

function go(by) {
  players[current].pause();
  select(Math.min(cards.length - 1, Math.max(0, current + by)));
  cards[current].focus({ preventScroll: true });
  cards[current].scrollIntoView({ block: "start" });
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const own = event.target.closest("button, a, input, select, textarea");
  const player = players[current];
  const keys = {
    " ": player.toggle, k: player.toggle, ArrowLeft: () => player.step(-1), ArrowRight: () => player.step(1),
    Home: player.home, End: player.end, w: player.worst, n: () => go(1), p: () => go(-1),
    m: () => player.switch("masks"), c: () => player.switch("marks"),
  };
  const deed = keys[event.key];
  // Space presses a focused button, and arrows move a focused slider, as everywhere.
  if (!deed || (own && (event.key === " " || (own.type === "range" && event.key.length > 1)))) return;
  event.preventDefault();
  deed();
});

const near = new IntersectionObserver(seen => {
  for (const entry of seen) if (entry.isIntersecting) players[cards.indexOf(entry.target)].load();
}, { rootMargin: "600px" });
cards.forEach(card => near.observe(card));
players[0].load();
select(0);
