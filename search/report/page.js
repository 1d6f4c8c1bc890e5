// Draws the page's figures in the colours of its ground. Nothing is fetched.
(function () {
  "use strict";
  var root = document.documentElement;
  var read = function (id) { return document.getElementById(id).textContent; };
  var dark = JSON.parse(read("shades"));
  var shades = ["auto", "light", "dark"];
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  var chosen = "auto";
  try { chosen = localStorage.getItem("trm-shade") || "auto"; } catch (error) { /* file: may refuse */ }

  function triple(hex) {
    return [1, 3, 5].map(function (at) { return parseInt(hex.slice(at, at + 2), 16); }).join(",");
  }
  var exchange = {};
  Object.keys(dark).forEach(function (light) {
    exchange[light] = dark[light];
    exchange["rgba(" + triple(light) + ","] = "rgba(" + triple(dark[light]) + ",";
  });
  var known = new RegExp(Object.keys(exchange).map(function (key) {
    return key.replace(/[(]/g, "\\(");
  }).join("|"), "g");

  function isDark() { return chosen === "dark" || (chosen === "auto" && system.matches); }

  function figureOf(box, onDark) {
    var text = read("figure-" + box.dataset.figure);
    if (onDark) { text = text.replace(known, function (light) { return exchange[light]; }); }
    var figure = JSON.parse(text);
    trm.sift(figure, box.dataset.figure);
    trm.fill(figure);
    figure.layout.uirevision = box.id;  // a zoom outlives another drawing
    if (box.clientWidth < 480) {
      var layout = figure.layout;
      layout.font = { size: 11 };
      layout.margin = Object.assign({ l: 40, r: 8, t: 12, b: 40 }, layout.margin, { r: 8 });
      figure.data.forEach(function (trace) {
        if (trace.colorbar) { trace.colorbar.thickness = 10; }
        if (trace.marker && trace.marker.colorbar) { trace.marker.colorbar.thickness = 10; }
      });
    }
    return figure;
  }

  var settings = {
    responsive: true, displaylogo: false, plotlyServerURL: "", displayModeBar: false,
    scrollZoom: false, showTips: false
  };
  var boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var round = 0;

  function draw(onDark, wait, some) {
    var mine = ++round;
    var left = some || boxes;
    root.dataset.drawn = left.length ? "no" : "yes";
    var next = function (index) {
      if (index >= left.length || mine !== round) { return; }
      var figure = figureOf(left[index], onDark);
      Plotly.react(left[index], figure.data, figure.layout, settings);
      document.dispatchEvent(new CustomEvent("trm-drawn", { detail: left[index] }));
      if (index + 1 === left.length) { root.dataset.drawn = "yes"; }
      // One figure at a time, so that the page answers meanwhile; a printer does not wait.
      if (wait) { setTimeout(next, 0, index + 1); } else { next(index + 1); }
    };
    next(0);
  }

  function paint(onDark, wait) {
    root.dataset.shade = onDark ? "dark" : "light";
    draw(onDark, wait);
  }

  // The style of a figure that is drawn on request, in the shade that the page has.
  trm.look = function (box) {
    var onDark = root.dataset.shade === "dark";
    var shaded = function (color) { return onDark ? dark[color] : color; };
    return { layout: figureOf(box, onDark).layout, settings: settings,
      ink: shaded("#1f2328"), winner: shaded("#0072b2") };
  };

  var button = document.getElementById("shade");
  function name() { button.textContent = "shade: " + chosen; }
  button.addEventListener("click", function () {
    chosen = shades[(shades.indexOf(chosen) + 1) % shades.length];
    try { localStorage.setItem("trm-shade", chosen); } catch (error) { /* file: may refuse */ }
    name();
    paint(isDark(), true);
  });
  system.addEventListener("change", function () { paint(isDark(), true); });
  window.addEventListener("beforeprint", function () { if (isDark()) { paint(false, false); } });
  window.addEventListener("afterprint", function () { if (isDark()) { paint(true, true); } });

  document.addEventListener("click", function (event) {
    var copier = event.target.closest("button[data-copies]");
    if (!copier) { return; }
    var source = document.getElementById(copier.dataset.copies);
    var said = function (text) {
      copier.textContent = text;
      setTimeout(function () { copier.textContent = "copy"; }, 1500);
    };
    var select = function () {
      getSelection().selectAllChildren(source);
      said("selected");
    };
    if (!navigator.clipboard) { select(); return; }
    navigator.clipboard.writeText(source.textContent).then(
      function () { said("copied"); }, select);
  });

  var links;
  var seen = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting || !links[entry.target.id]) { return; }
      Object.keys(links).forEach(function (id) { links[id].classList.remove("here"); });
      links[entry.target.id].classList.add("here");
    });
  }, { rootMargin: "0px 0px -70% 0px" });
  function follow() {
    links = {};
    document.querySelectorAll("nav a").forEach(function (link) {
      links[link.getAttribute("href").slice(1)] = link;
    });
    seen.disconnect();
    document.querySelectorAll("section").forEach(function (part) { seen.observe(part); });
  }
  // A figure that is sifted is drawn again at once, and no drawing of others is broken off.
  document.addEventListener("trm-again", function (event) {
    var box = event.detail, figure = figureOf(box, root.dataset.shade === "dark");
    Plotly.react(box, figure.data, figure.layout, settings);
    document.dispatchEvent(new CustomEvent("trm-drawn", { detail: box }));
  });
  // A page that is served changes: the event names the figures that do.
  document.addEventListener("trm-changed", function (event) {
    var drawing = root.dataset.drawn !== "yes";
    boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
    follow();
    draw(isDark(), true, drawing ? boxes : event.detail);
  });

  follow();
  name();
  paint(isDark(), true);
  if (trm.begin) { trm.begin(); }
})();
