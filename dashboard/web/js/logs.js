// The logs page: live tail, and facets closed on phones.
const facets = $(".facets"), rows = $("#rows"), tailButton = $("#tail");
if (facets && matchMedia("(max-width: 760px)").matches) facets.open = false;
if (rows && tailButton) {
  const ROWS = 200, bar = $("#tailbar"), says = $("#tailmsg");
  let source = null, held = [];
  const paused = () => scrollY > 420 || rows.matches(":hover") || rows.contains(document.activeElement) || $("details[open]", rows);
  const show = html => {
    $("#empty")?.remove();
    rows.insertAdjacentHTML("afterbegin", html.reverse().join(""));
    while (rows.children.length > ROWS) rows.lastElementChild.remove();
  };
  const tail = on => {
    source?.close(); source = null; held = [];
    tailButton.setAttribute("aria-pressed", on); bar.hidden = !on;
    if (!on) return;
    says.textContent = "Following.";
    const p = new URLSearchParams({ format: "html", q: params().get("q") ?? "" });
    source = new EventSource("/api/v1/logs/tail?" + p);
    source.addEventListener("events", e => {
      heard();
      const m = JSON.parse(e.data);
      held.push(...m.rows); held = held.slice(-ROWS);
      if (paused()) { says.textContent = `Paused while you read. ${held.length} newer lines wait.`; return; }
      show(held); held = [];
      says.textContent = m.dropped ? `Following. ${m.dropped} lines came too fast to show.` : "Following.";
    });
    source.addEventListener("error", () => { says.textContent = "Lost the connection; trying again."; });
  };
  tailButton.addEventListener("click", () => tail(source == null));
  if (params().get("tail")) tail(true);
}
