// The keyboard. Nothing fires while somebody types.
const GO = { o: "/", i: "/incidents", l: "/logs", m: "/explore" };
let went = 0;
addEventListener("keydown", e => {
  if (e.metaKey || e.ctrlKey || e.altKey || e.target.closest("input, textarea, select, dialog[open]")) return;
  const k = e.key;
  if (Date.now() - went < 1200) { went = 0; if (GO[k]) { location.href = GO[k]; return; } }
  if (k === "g") { went = Date.now(); return; }
  if (k === "/") { e.preventDefault(); ($("[data-query]") ?? $(".jump input")).focus(); return; }
  const link = { "[": "earlier", "]": "later", "-": "wider" }[k], act = { "?": "help", l: "live", L: "live", t: "theme", T: "theme" }[k];
  if (link) document.getElementById(link)?.click();
  else if (act) DO[act]();
  else if (k === "Z") history.back();
  else if (k === "v" || k === "V") ($("[data-chart]:hover .fig") ?? document.activeElement.closest("[data-chart]")?.querySelector(".fig"))?.click();
  else if (k === "j" || k === "k") {
    const all = $$(".row > summary, .inc-list .ti, .tbl td a").filter(x => x.offsetParent), i = all.indexOf(document.activeElement);
    all[Math.max(0, Math.min(all.length - 1, i + (k === "j" ? 1 : -1)))]?.focus();
  }
});
initCharts();
