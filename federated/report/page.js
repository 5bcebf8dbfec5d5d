// Clicking a hospital's button hides its lines in every panel, and shows them again.
for (const button of document.querySelectorAll(".sites button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    for (const page of Bokeh.documents)
      for (const panel of page.roots())
        for (const line of panel.renderers) if (line.name === button.value) line.visible = shown;
  });
}
