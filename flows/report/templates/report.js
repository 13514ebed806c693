"use strict";
for (const element of document.querySelectorAll(".chart")) {
  const figure = JSON.parse(document.getElementById(element.id.replace("chart-", "data-")).textContent);
  Plotly.newPlot(element, figure.data, figure.layout, { responsive: true, displayModeBar: false });
}

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
  const table = new DataTable("#clip-table", {
    data: rows,
    columns: columns.map((title, i) => ({ title, render: i === 0 ? linked : shown })),
    deferRender: true,
    pageLength: 25,
    order: [],
    columnControl: ["order", ["searchList", "search"]],
    layout: { topStart: "pageLength", topEnd: "search" },
  });
  for (const button of document.querySelectorAll("button.show")) {
    button.addEventListener("click", () => {
      table.search(button.dataset.reason ?? button.dataset.flag).draw();
      document.getElementById("clips").scrollIntoView();
    });
  }
  document.body.dataset.ready = "yes";
});
