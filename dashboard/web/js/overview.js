// The overview: horizon as navigator, vital signs each second.
const strip = $("[data-horizon]"), left = () => +root.dataset.from, right = () => +root.dataset.to;
function horizonAt(t) {
  const x = strip && $(".hz-x", strip); if (!x) return;
  x.hidden = t == null;
  if (t != null) { x.style.left = (t - left()) / (right() - left()) * 100 + "%"; x.dataset.t = when(t, right() - left()); }
}
if (strip) {
  let a = null;
  const pos = e => Math.max(0, Math.min(strip.clientWidth, e.clientX - strip.getBoundingClientRect().left)), at = x => left() + x / strip.clientWidth * (right() - left());
  strip.addEventListener("pointermove", e => {
    const x = pos(e), sel = $(".hz-sel", strip); horizonAt(at(x)); cursorAt(at(x));
    if (a != null) { sel.hidden = Math.abs(x - a) < 5; sel.style.left = Math.min(a, x) + "px"; sel.style.width = Math.abs(x - a) + "px"; }
  });
  strip.addEventListener("pointerleave", () => { horizonAt(null); cursorAt(null); });
  strip.addEventListener("pointerdown", e => { if (e.button || e.target.closest("a")) return; a = pos(e); strip.setPointerCapture(e.pointerId); });
  strip.addEventListener("pointerup", e => { if (a == null) return; const b = pos(e), z = a; a = null; $(".hz-sel", strip).hidden = true; if (Math.abs(b - z) > 5) zoom(at(Math.min(z, b)), at(Math.max(z, b))); });
}
function follow() {
  const host = params().get("host"), es = new EventSource("/live" + (host ? "?host=" + encodeURIComponent(host) : ""));
  es.addEventListener("vitals", e => {
    heard();
    if (!live) return;
    const m = JSON.parse(e.data);
    for (const [id, v] of Object.entries(m.vitals)) {
      const el = $(`[data-vital="${id}"]`); if (!el) continue;
      // The server escapes what it sends; the value is a number with its unit.
      $(".v", el).innerHTML = v.value; $(".x", el).innerHTML = v.under;
      el.className = "vital " + v.state;
    }
  });
  es.addEventListener("error", () => { if (Date.now() - lastHeard > 4000) offline(true); });
}
if ($(".vitals")) follow();
// A store that has just begun has no charts yet: look again until it has.
if ($(".vitals") && $$("[data-chart]").length < 2) setTimeout(() => location.reload(), 2000);
