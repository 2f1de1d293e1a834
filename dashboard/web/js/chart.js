// The server's specification on uPlot, in place of the server's drawing, on the same margins.
// Ticks, words, colours and gaps come decided; nothing here chooses them.
const M = { l: 64, r: 12, t: 12, b: 22 };
const charts = new Map();
let C = {};
const COLORS = ["s1", "s2", "s3", "s4", "s5", "ink", "ink-2", "ink-3", "grid", "axis", "crit", "warn", "surface", "hatch", "sev-err", "sev-warn", "sev-notice", "sev-info"];
function readColors() {
  const p = document.createElement("i"); p.hidden = true; document.body.append(p);
  for (const n of COLORS) { p.style.color = `var(--${n})`; C[n] = getComputedStyle(p).color; }
  p.remove(); hatched = null;
}
const col = n => C[n === "info" ? "ink-3" : n] ?? C.ink;
const alpha = (c, a) => { const m = c.match(/[\d.]+/g); return `rgba(${m[0]},${m[1]},${m[2]},${a})`; };
const font = px => `${px}px ${getComputedStyle(document.body).fontFamily}`;

let hatched = null;
function hatch(ctx) {
  if (hatched) return hatched;
  const n = Math.round(6 * devicePixelRatio), c = document.createElement("canvas"); c.width = c.height = n;
  const x = c.getContext("2d"); x.strokeStyle = col("hatch"); x.lineWidth = devicePixelRatio;
  x.beginPath(); for (const o of [-n, 0, n]) { x.moveTo(o, n); x.lineTo(o + n, 0); } x.stroke();
  return hatched = ctx.createPattern(c, "repeat");
}

function columns(spec) {
  if (spec.shape === "plain") return spec.series.map(s => s.ys);
  const acc = new Array(spec.n).fill(0);
  return spec.series.map(s => s.ys.map((v, i) => v == null ? null : (acc[i] += v)));
}

function setup(spec, w, h) {
  const xs = Array.from({ length: spec.n }, (_, i) => spec.start + i * spec.step);
  const cols = columns(spec), data = [xs], series = [{}], bands = [], place = [];
  const push = (ys, o) => { data.push(ys); series.push({ points: { show: false }, spanGaps: false, ...o }); return data.length - 1; };
  const color = k => col(spec.series[k].color);
  if (spec.shape === "bars") {
    const paths = uPlot.paths.bars({ size: [.84, 100], align: -1, gap: 0 });
    for (let k = cols.length - 1; k >= 0; k--) place[k] = push(cols[k], { paths, fill: () => color(k), stroke: () => color(k), width: 0 });
  } else {
    const stack = spec.shape === "stack", order = [...cols.keys()];
    for (const k of stack ? order.reverse() : order) {
      const s = spec.series[k];
      place[k] = push(cols[k], { stroke: () => color(k), width: 1.5, dash: s.kind === "dash" ? [4, 3] : undefined, fill: s.kind === "area" && !stack ? () => alpha(color(k), .2) : undefined, _k: k });
    }
    if (stack) {
      const zero = push(xs.map(() => spec.y.min), { width: 0 });
      for (let k = 0; k < cols.length; k++) bands.push({ series: [place[k], k ? place[k - 1] : zero], fill: () => alpha(color(k), .32) });
    }
  }
  const X = (u, t) => u.valToPos(t, "x", true), Y = (u, v) => u.valToPos(v, "y", true);
  const back = u => {
    const { ctx, bbox: b } = u; ctx.save(); ctx.beginPath(); ctx.rect(b.left, b.top, b.width, b.height); ctx.clip();
    for (const [from, to, level] of spec.spans) { ctx.fillStyle = alpha(col(level), .09); const a = X(u, from); ctx.fillRect(a, b.top, Math.max(devicePixelRatio, X(u, to) - a), b.height); }
    for (const [from, to] of spec.gaps) { ctx.fillStyle = hatch(ctx); const a = X(u, from); ctx.fillRect(a, b.top, X(u, to) - a, b.height); }
    ctx.restore();
  };
  const front = u => {
    const { ctx, bbox: b } = u, r = devicePixelRatio; ctx.save(); ctx.font = font(10.5 * r);
    for (const [v, label, level] of spec.limits) {
      const y = Math.round(Y(u, v)) + .5; ctx.setLineDash([5 * r, 4 * r]); ctx.strokeStyle = ctx.fillStyle = col(level);
      ctx.lineWidth = r; ctx.beginPath(); ctx.moveTo(b.left, y); ctx.lineTo(b.left + b.width, y); ctx.stroke(); ctx.fillText(label, b.left + 6 * r, y - 5 * r);
    }
    ctx.restore();
  };
  // A narrow chart takes every second tick of time.
  const ticks = w < 430 && spec.x.length > 4 ? spec.x.filter((_, i) => i % 2 === 0) : spec.x;
  const word = new Map(ticks);
  return [{
    width: w, height: h, legend: { show: false }, padding: [M.t, M.r, 0, 0], select: { show: true },
    cursor: {
      sync: { key: "vigie", scales: ["x", null], setSeries: false }, drag: { x: true, y: false, setScale: false, dist: 6 }, y: false,
      points: { show: spec.shape !== "bars", size: 7, width: 1.5, stroke: () => col("surface"), fill: (u, i) => { const k = u.series[i]._k; return k == null ? "transparent" : color(k); } },
    },
    scales: { x: { time: false, range: () => [spec.from, spec.to] }, y: { range: () => [spec.y.min, spec.y.max] } },
    axes: [
      { size: M.b, font: font(11), stroke: () => col("ink-3"), gap: 4, ticks: { show: true, size: 4, stroke: () => col("axis"), width: 1 }, grid: { show: false }, splits: () => ticks.map(t => t[0]), values: (u, at) => at.map(t => word.get(t)) },
      { size: M.l, font: font(11), stroke: () => col("ink-3"), gap: 6, ticks: { show: false }, grid: { stroke: () => col("grid"), width: 1 }, splits: () => spec.y.ticks, values: () => spec.y.labels },
    ],
    series, bands,
    hooks: {
      drawClear: [back], draw: [front], setCursor: [moved],
      setSelect: [u => { if (u.select.width > 4) { const a = u.posToVal(u.select.left, "x"), b = u.posToVal(u.select.left + u.select.width, "x"); zoom(a, b); } }],
    },
  }, data];
}

// -- crosshair: legends follow in every chart, the tooltip only under the pointer -----------------
let tip;
function moved(u) {
  const c = [...charts.values()].find(c => c.u === u); if (!c) return;
  const i = u.cursor.left >= 0 ? u.cursor.idx : null;
  legend(c, i);
  if (c.el.matches(":hover, :focus-within")) {
    horizonAt(i == null ? null : u.posToVal(u.cursor.left, "x"));
    if (i == null) hideTip(); else showTip(c, i);
  }
}
function legend(c, i) {
  for (const b of c.values) {
    const ys = c.spec.series[b.dataset.s].ys, all = stats(ys);
    const v = i != null ? ys[i] : all && (c.spec.shape === "bars" ? all.sum : all.last), text = fmt(c.spec, v);
    if (b.textContent !== text) b.textContent = text;
  }
}
const hideTip = () => { if (tip) tip.hidden = true; };
function line(cls, kind, color, label, value) {
  const d = document.createElement("div"), s = document.createElement("i"), b = document.createElement("b");
  d.className = cls; s.className = "sw " + kind; if (color) s.style.setProperty("--c", `var(--${color})`);
  b.textContent = value; d.append(s, label, b); return d;
}
function showTip(c, i) {
  const { spec, u } = c;
  if (!tip) { tip = document.createElement("div"); tip.className = "tip"; document.body.append(tip); }
  const head = document.createElement("div"), how = document.createElement("span");
  head.className = "tip-t"; head.textContent = when(spec.start + i * spec.step, spec.to - spec.from);
  how.textContent = span(spec.step) + (spec.shape === "bars" ? "" : " average"); head.append(how);
  const rows = spec.series.map(s => line("tip-r", s.kind, s.color, s.label, fmt(spec, s.ys[i])));
  if (spec.shape !== "plain") { rows.reverse(); if (rows.length > 1) rows.push(line("tip-r tot", "", "", "total", fmt(spec, spec.series.reduce((a, s) => a + (s.ys[i] ?? 0), 0)))); }
  tip.replaceChildren(head, ...rows); tip.hidden = false;
  const b = u.over.getBoundingClientRect(), x = b.left + u.cursor.left, w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = (x + 14 + w > innerWidth - 8 ? Math.max(8, x - 14 - w) : x + 14) + "px";
  tip.style.top = Math.max(8, Math.min(innerHeight - h - 8, b.top + 8)) + "px";
}

function draw(el, spec) {
  const plot = $(".plot", el), old = charts.get(spec.id), w = plot.clientWidth, h = plot.clientHeight;
  if (!w) return;
  const [opts, data] = setup(spec, w, h), host = document.createElement("div");
  const u = new uPlot(opts, data, host);
  const c = { u, spec, el, values: $$("[data-s]", el) };
  charts.set(spec.id, c);
  old?.u.destroy(); plot.replaceChildren(host);
  plot.setAttribute("aria-label", spec.words + " Arrow keys move the cursor; Shift and arrows select; Enter zooms.");
  legend(c, null);
  if (!old) keyboard(plot, spec.id);
  u.over.addEventListener("mouseleave", () => { hideTip(); horizonAt(null); });
  u.over.addEventListener("dblclick", () => history.back());
  el.dataset.ready = "";
}
function cursorAt(t) {
  for (const c of charts.values()) {
    c.u.setCursor(t == null ? { left: -10, top: -10 } : { left: c.u.valToPos(t, "x"), top: 10 }, false);
    legend(c, t == null ? null : c.u.cursor.idx);
  }
}
function keyboard(plot, id) {
  let from = null;
  plot.addEventListener("keydown", e => {
    const c = charts.get(id); if (!c) return;
    const { u, spec } = c, at = k => spec.start + k * spec.step, i = u.cursor.idx ?? spec.n - 1;
    if (e.key === "ArrowLeft" || e.key === "ArrowRight") {
      e.preventDefault();
      const j = Math.max(0, Math.min(spec.n - 1, i + (e.key === "ArrowLeft" ? -1 : 1) * (e.altKey ? 10 : 1)));
      from = e.shiftKey ? from ?? i : null;
      cursorAt(at(j)); horizonAt(at(j)); showTip(c, j);
      const a = from == null ? 0 : u.valToPos(at(Math.min(from, j)), "x"), b = from == null ? 0 : u.valToPos(at(Math.max(from, j)), "x");
      u.setSelect({ left: a, width: b - a, top: 0, height: u.over.clientHeight }, false);
    } else if (e.key === "Enter" && from != null) zoom(at(Math.min(from, i)), at(Math.max(from, i)));
    else if (e.key === "Escape") { from = null; hideTip(); cursorAt(null); u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false); }
  });
  plot.addEventListener("blur", () => { hideTip(); cursorAt(null); });
}

// -- a page's charts: one call, drawn when they come into view ------------------------------------
const seen = new Set();
let specs = new Map();
async function load() {
  const p = params(); p.set("view", view);
  if (root.dataset.live && !p.has("from")) { p.set("from", root.dataset.live); p.set("to", "now"); }
  const answer = await getJson("/api/series?" + p);
  specs = new Map(answer.charts.map(s => [s.id, s]));
  for (const el of seen) { const s = specs.get(el.dataset.chart); if (s) draw(el, s); }
  return answer;
}
async function initCharts() {
  const all = $$("[data-chart]"); if (!all.length || typeof uPlot === "undefined") return;
  readColors();
  const shown = new IntersectionObserver(es => { for (const e of es) if (e.isIntersecting) { shown.unobserve(e.target); seen.add(e.target); const s = specs.get(e.target.dataset.chart); if (s) draw(e.target, s); } }, { rootMargin: "200px" });
  all.forEach(e => shown.observe(e));
  themed.add(() => { readColors(); for (const { u } of charts.values()) u.redraw(false); });
  let width = innerWidth, timer;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; for (const el of seen) { const s = specs.get(el.dataset.chart); if (s) draw(el, s); } } }, 120); });
  try { await load(); } catch (e) { console.warn("charts:", e.message); }
  const step = Math.min(60, Math.max(5, Math.min(...[...specs.values()].map(s => s.step), 60)));
  setInterval(() => { if (live && !document.hidden) load().catch(() => offline(true)); }, step * 1000);
}
DO.figures = b => {
  const el = b.closest("[data-chart]"), spec = specs.get(el.dataset.chart), open = b.getAttribute("aria-expanded") !== "true";
  b.setAttribute("aria-expanded", open); $(".figs", el)?.remove();
  if (!open || !spec) return;
  const t = document.createElement("table"); t.className = "mrtg figs";
  const row = (cells, tag, head) => { const tr = document.createElement("tr"); cells.forEach((c, i) => { const td = document.createElement(i === 0 || head ? "th" : tag); td.textContent = c; tr.append(td); }); return tr; };
  const heads = [span(spec.step) + " average", "Maximum", "95th pct", "Average", "Minimum", "Last"];
  t.append(row(heads, "th", true), ...spec.series.map(s => { const v = stats(s.ys) ?? {}; return row([s.label, ...["max", "p95", "avg", "min", "last"].map(k => fmt(spec, v[k]))], "td"); }));
  el.append(t);
};
