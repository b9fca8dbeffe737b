// The map: images as points and class texts as names, with a lasso whose corners the server takes.

import { attempt, byId, get } from "./api.js";

export class Plane {
  constructor({ onLasso }) {
    this.canvas = byId("points");
    this.onLasso = onLasso;
    this.lasso = [];
    this.canvas.addEventListener("pointerdown", (event) => this.start(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", () => this.end());
    byId("lasso-show").addEventListener("click", () => this.onLasso(this.lasso));
    byId("lasso-clear").addEventListener("click", () => { this.lasso = []; this.draw(); });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.points && this.draw()).observe(this.canvas);
  }

  async load() {
    this.points = await attempt(() => get("plane"));
    if (!this.points) return;
    const xs = [...this.points.x, ...this.points.texts.map((one) => one[0])];
    const ys = [...this.points.y, ...this.points.texts.map((one) => one[1])];
    this.box = [min(xs), max(xs), min(ys), max(ys)];
    const { length } = this.points.x;
    this.canvas.setAttribute("aria-label",
      `Map of ${length} images and ${this.points.texts.length} class texts`);
    this.draw();
  }

  frame() {
    const [left, right, low, high] = this.box;
    const scale = Math.min(this.canvas.clientWidth / (right - left || 1),
      this.canvas.clientHeight / (high - low || 1)) * 0.92;
    return { scale, x: (left + right) / 2, y: (low + high) / 2 };
  }

  toScreen(x, y) {
    const { scale, x: middle, y: centre } = this.frame();
    return [this.canvas.clientWidth / 2 + (x - middle) * scale,
      this.canvas.clientHeight / 2 - (y - centre) * scale];
  }

  toPlane(event) {
    const { scale, x, y } = this.frame();
    const place = this.canvas.getBoundingClientRect();
    return [x + (event.clientX - place.left - this.canvas.clientWidth / 2) / scale,
      y - (event.clientY - place.top - this.canvas.clientHeight / 2) / scale];
  }

  start(event) {
    if (!this.points) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.lasso = [this.toPlane(event)];
  }

  move(event) {
    if (!this.drawing) return;
    this.lasso.push(this.toPlane(event));
    this.plan();
  }

  end() {
    this.drawing = false;
    if (this.lasso.length < 3) this.lasso = [];
    this.draw();
  }

  // By keyboard: a square in the middle that grows, shrinks and moves.
  key(event) {
    const [left, right, low, high] = this.box || [0, 1, 0, 1];
    const unit = Math.max(right - left, high - low) / 12;
    this.square ||= { x: (left + right) / 2, y: (low + high) / 2, r: unit * 2 };
    const moves = { ArrowLeft: [-unit, 0], ArrowRight: [unit, 0], ArrowUp: [0, unit],
      ArrowDown: [0, -unit] };
    if (event.key in moves) {
      this.square.x += moves[event.key][0];
      this.square.y += moves[event.key][1];
    } else if (event.key === "+") this.square.r += unit / 2;
    else if (event.key === "-") this.square.r = Math.max(unit / 2, this.square.r - unit / 2);
    else if (event.key === "Enter" && this.lasso.length) { this.onLasso(this.lasso); return; }
    else return;
    event.preventDefault();
    const { x, y, r } = this.square;
    this.lasso = [[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]];
    this.draw();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !this.points) return;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const [front, line, accent, back] = ["--front", "--line", "--accent", "--back"]
      .map((name) => style.getPropertyValue(name));
    const inside = this.inside();
    const size = this.points.x.length > 5000 ? 2 : 4;
    for (let row = 0; row < this.points.x.length; row += 1) {
      const [x, y] = this.toScreen(this.points.x[row], this.points.y[row]);
      const code = this.points.classes[row];
      pen.fillStyle = inside && !inside[row] ? line
        : code < 0 ? front : `hsl(${(code * 137.5) % 360} 65% 48%)`;
      pen.fillRect(x - size / 2, y - size / 2, size, size);
    }
    pen.font = "600 13px system-ui, sans-serif";
    pen.textAlign = "center";
    this.points.texts.forEach(([x, y], code) => {
      const place = this.toScreen(x, y);
      pen.lineWidth = 4;
      pen.strokeStyle = back;
      pen.strokeText(this.points.class_names[code], ...place);
      pen.fillStyle = front;
      pen.fillText(this.points.class_names[code], ...place);
    });
    if (this.lasso.length > 1) this.outline(pen, accent);
    this.tell(inside);
  }

  outline(pen, colour) {
    pen.beginPath();
    this.lasso.forEach(([x, y]) => pen.lineTo(...this.toScreen(x, y)));
    pen.closePath();
    pen.lineWidth = 2;
    pen.strokeStyle = colour;
    pen.stroke();
  }

  tell(inside) {
    const n = inside ? inside.filter(Boolean).length : 0;
    byId("lasso-show").disabled = !n;
    byId("lasso-clear").disabled = !this.lasso.length;
    byId("lasso-text").textContent = inside ? `${n} images inside` : "";
  }

  // Only to colour the points; which images are shown is the server's own computation.
  inside() {
    if (this.lasso.length < 3) return null;
    const { x, y } = this.points;
    const corners = this.lasso;
    return x.map((_, row) => {
      let odd = false;
      for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
        const [x1, y1] = corners[i];
        const [x2, y2] = corners[j];
        if ((y1 > y[row]) !== (y2 > y[row])
            && x[row] < ((x2 - x1) * (y[row] - y1)) / (y2 - y1) + x1) odd = !odd;
      }
      return odd;
    });
  }
}

const min = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const max = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
