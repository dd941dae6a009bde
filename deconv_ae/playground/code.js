// A click on a pixel of a code, told to the page as its model and its place in the code's picture.
element.addEventListener("click", (event) => {
  const svg = event.target.closest("figure.code svg");
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  const index = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
  trigger("click", {
    model: Number(svg.closest(".card").dataset.model),
    row: index(event.clientY - box.top, box.height, Number(svg.dataset.rows)),
    column: index(event.clientX - box.left, box.width, Number(svg.dataset.columns)),
  });
});
