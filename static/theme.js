/* Runs before the first paint: says that JavaScript is here and puts this device's appearance on.
   The server writes data-theme from the person's profile; what was chosen on this device goes first. */
(function () {
  "use strict";
  var root = document.documentElement, theme = null;
  root.classList.add("js");
  try { theme = localStorage.getItem("ticketflow-theme"); } catch (error) { /* storage is blocked */ }
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (theme === "auto") delete root.dataset.theme;
})();
