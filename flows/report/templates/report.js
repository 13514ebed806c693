"use strict";
// Charts are drawn when they come into view: a page with all of them opens as fast as one without.
const charts = [...document.querySelectorAll(".chart")];
const draw = (element) => {
  if (element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  const figure = JSON.parse(document.getElementById(element.id.replace("chart-", "data-")).textContent);
  Plotly.newPlot(element, figure.data, figure.layout, { responsive: true, displayModeBar: false });
};
const watch = () => {
  const seen = (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target));
  const observer = new IntersectionObserver(seen, { rootMargin: "400px" });
  charts.forEach((element) => observer.observe(element));
  window.addEventListener("beforeprint", () => charts.forEach(draw));
};
const plotly = document.createElement("script");
plotly.src = "assets/plotly.min.js";
plotly.addEventListener("load", watch);

// DataTables comes as a module, which a page on disk may only import from itself.
const source = URL.createObjectURL(new Blob([window.merflowTables], { type: "text/javascript" }));
import(source).then(({ default: DataTable }) => {
  const { columns, rows, pages } = window.merflowClips;
  const escaped = DataTable.util.escapeHtml ?? ((text) => text);
  const linked = (id, kind) => {
    if (kind !== "display" || !pages.has(id)) return kind === "display" ? escaped(id) : id;
    return `<a href="clips/${encodeURIComponent(id)}.html">${escaped(id)}</a>`;
  };
  const shown = (value, kind) => (kind === "display" && typeof value === "string" ? escaped(value) : value ?? "");
  // Lists of values to choose from where there are few; finding out what kind of value a column has takes seconds.
  const many = new Set(["clip", "speaker", "seconds"]);
  const search = (title) => [title === "seconds" || many.has(title) ? "search" : "searchList"];
  const table = new DataTable("#clip-table", {
    data: rows,
    columns: columns.map((title, i) => ({
      title,
      type: title === "seconds" ? "num" : "string",
      render: i === 0 ? linked : shown,
      columnControl: ["order", search(title)],
    })),
    deferRender: true,
    pageLength: 25,
    order: [],
    layout: { topStart: "pageLength", topEnd: "search" },
  });
  for (const button of document.querySelectorAll("button.show")) {
    button.addEventListener("click", () => {
      table.search(`"${button.dataset.reason ?? button.dataset.flag}"`).draw(); // quoted: these words, together
      document.getElementById("clips").scrollIntoView();
    });
  }
  document.body.dataset.ready = "yes";
  document.head.append(plotly);
});
