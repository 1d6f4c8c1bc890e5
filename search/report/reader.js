// What a reader does with the page: contents on a phone.
(function () {
  "use strict";
  // A page that is served is written anew: ask for its parts each time.
  function contents() { return document.querySelector("nav details"); }
  var narrow = window.matchMedia("(max-width: 1079px)");
  function fold() { if (contents()) { contents().open = !narrow.matches; } }
  narrow.addEventListener("change", fold);
  document.addEventListener("click", function (event) {
    if (narrow.matches && event.target.closest("nav a")) { contents().open = false; }
  });
  document.addEventListener("trm-changed", fold);
  fold();
})();
