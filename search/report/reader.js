// What a reader does with the page: contents on a phone.
(function () {
  "use strict";
  // A page that is served is written anew: its parts are asked for each time.
  function contents(open) {
    var nav = document.querySelector("nav");
    nav.classList.toggle("unfolded", open);
    nav.querySelector(".fold").setAttribute("aria-expanded", String(open));
  }
  document.addEventListener("click", function (event) {
    var nav = document.querySelector("nav");
    if (event.target.closest("nav .fold")) {
      contents(!nav.classList.contains("unfolded"));
    } else if (event.target.closest("nav a")) {
      contents(false);
    }
  });
})();
