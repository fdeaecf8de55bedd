"use strict";
document.documentElement.classList.add("js");
document.addEventListener("click", (event) => {
  const figure = event.target.closest("figure");
  if (!figure || figure.closest("dialog")) return;
  const panel = event.target.closest(".panel, img");
  if (!panel && !event.target.closest(".enlarge")) return;
  const dialog = document.createElement("dialog");
  const close = document.createElement("button");
  const copy = document.createElement("figure");
  close.textContent = "close";
  close.className = "close";
  close.autofocus = true;
  for (const each of panel ? [panel] : figure.querySelectorAll(".panel, img")) {
    copy.append(each.cloneNode(true));
  }
  dialog.append(close, copy);
  dialog.setAttribute("aria-label", figure.querySelector("figcaption")?.textContent || "figure");
  dialog.addEventListener("click", (inner) => inner.target === copy || dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
