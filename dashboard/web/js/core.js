// Theme, address, range, live: what every page has. Pages work without any of it.
const root = document.documentElement;
const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
const NB = "\u202f";
root.classList.add("scripted");

const params = () => new URLSearchParams(location.search);
const view = root.dataset.view ?? "";
let live = root.dataset.live != null;

// -- numbers, as the server writes them ---------------------------------------------------------
const SI = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]], IEC = [[2 ** 40, "Ti"], [2 ** 30, "Gi"], [2 ** 20, "Mi"], [1024, "Ki"]];
const TIME = [[172800, 86400, "d"], [7200, 3600, "h"], [120, 60, "min"], [1, 1, "s"], [1e-3, 1e-3, "ms"], [1e-6, 1e-6, "µs"]];
const grouped = s => s.replace(/\B(?=(\d{3})+(?!\d))/g, NB);
function digits(v) {
  const a = Math.abs(v), whole = s => s.replace(/\.0+$/, "");
  if (a === 0) return "0";
  if (a >= 99.95) return grouped(v.toFixed(0));
  if (a >= 9.995) return whole(v.toFixed(1));
  return a >= 0.01 ? whole(v.toFixed(2)) : v.toExponential(1);
}
function fmt(spec, v) {
  if (v == null || !Number.isFinite(v)) return "no data";
  let div = 1, unit = spec.unit;
  const a = Math.abs(v);
  if (spec.prefixes === "time") { const t = TIME.find(t => a >= t[0]); if (t) [, div, unit] = t; }
  else if (spec.prefixes) { const p = (spec.prefixes === "iec" ? IEC : SI).find(p => a >= p[0]); if (p) { div = p[0]; unit = p[1] + unit; } }
  const n = unit === "lines" || (unit === "lines/min" && a >= 10) ? grouped(v.toFixed(0)) : digits(v / div);
  return unit ? n + NB + unit : n;
}
function stats(ys) {
  const known = ys.filter(v => v != null), sorted = [...known].sort((a, b) => a - b), n = known.length;
  return n ? { last: known[n - 1], sum: known.reduce((a, b) => a + b, 0), avg: known.reduce((a, b) => a + b, 0) / n, min: sorted[0], max: sorted[n - 1], p95: sorted[Math.max(1, Math.ceil(n * .95)) - 1] } : null;
}

// -- times, in the server's zone ----------------------------------------------------------------
const zone = root.dataset.tz || "UTC";
const clock = o => { try { return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...o }); } catch { return new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...o }); } };
const HMS = clock({ hour: "2-digit", minute: "2-digit", second: "2-digit" }), DAY = clock({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const when = (t, span) => (span > 72000 ? DAY : HMS).format(new Date(t * 1000));
const span = s => s >= 86400 ? s / 86400 + NB + "d" : s >= 3600 ? s / 3600 + NB + "h" : s >= 60 ? s / 60 + NB + "min" : s + NB + "s";

// -- theme --------------------------------------------------------------------------------------
const themed = new Set();
function theme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `vigie-theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  themed.forEach(f => f());
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => themed.forEach(f => f()));

// -- range: a zoom is a new address, so a pasted link shows the same ------------------------------
function zoom(from, to) {
  const p = params();
  if (to - from < 10) { const m = (from + to) / 2; from = m - 5; to = m + 5; }
  p.set("from", Math.round(from)); p.set("to", Math.round(to)); p.delete("before");
  location.search = p.toString();
}

// -- live ---------------------------------------------------------------------------------------
let lastHeard = Date.now();
const refreshers = new Set();
function setLive(on) {
  if (on && root.dataset.live == null) { const p = params(); p.delete("from"); p.delete("to"); location.search = p.toString(); return; }
  live = on;
  $("[data-do=live]")?.setAttribute("aria-pressed", on);
}
function offline(is) {
  const b = $("#offline"); if (!b || b.hidden === !is) return;
  b.hidden = !is;
  if (is) $("[data-at]", b).textContent = HMS.format(new Date(lastHeard));
}
const heard = () => { lastHeard = Date.now(); offline(false); };
async function getJson(url) {
  const r = await fetch(url, { headers: { accept: "application/json" } });
  if (!r.ok) throw new Error((await r.json().catch(() => ({}))).error ?? r.statusText);
  heard();
  return r.json();
}

function toast(text) {
  $(".toast")?.remove();
  const t = document.createElement("div"); t.className = "toast"; t.setAttribute("role", "status"); t.textContent = text;
  document.body.append(t); setTimeout(() => t.remove(), 5000);
}
const DO = { theme, live: () => setLive(!live), help: () => $("#keys").showModal() };
document.addEventListener("click", e => {
  const b = e.target.closest("[data-do]"), f = b && DO[b.dataset.do];
  if (f) { e.preventDefault(); f(b); }
});
$("#keys")?.addEventListener("click", e => { if (e.target.id === "keys") e.target.close(); });
