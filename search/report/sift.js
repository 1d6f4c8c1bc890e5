// Sifting the lines of parallel coordinates: brushes on their axes, and a filter in words.
(function () {
  "use strict";
  var trm = window.trm;
  var NEAR = 0.42;     // rows: how far from an axis a brush may begin
  var SPREAD = 0.02;   // equal values are drawn this far apart
  var LEAST = 4;       // pixels that make a drag of a click
  var states = {};     // by figure: brushes by row, the filter's text

  function state(name) {
    return states[name] || (states[name] = { brushes: {}, text: "", kept: 0, of: 0 });
  }

  // --- the filter: conditions joined by `and` ---------------------------------------------------

  var CONDITION = /^\s*(.+?)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*$/;

  function numeric(text) {
    var plain = String(text).replace(/,/g, "");
    return plain.trim() !== "" && isFinite(Number(plain)) ? Number(plain) : null;
  }

  function compare(op, value, wanted) {
    if (value === "") { return op === "!="; }  // a config without the setting
    var a = numeric(value), b = numeric(wanted), same;
    var equals = a !== null && b !== null ? a === b
      : String(value).toLowerCase() === wanted.toLowerCase();
    if (op === "=") { return equals; }
    if (op === "!=") { return !equals; }
    if (a === null || b === null) { return false; }
    same = op.length > 1 && a === b;
    return same || (op[0] === "<" ? a < b : a > b);
  }

  // A path by its end: `lr` is `optimizer.lr`, and `optimizer[adamw].lr` where that is drawn.
  function plain(name) { return name.replace(/\[[^\]]*\]/g, ""); }
  function named(word, names) {
    var found = names.filter(function (name) { return name === word; });
    if (!found.length) {
      found = names.filter(function (name) {
        return plain(name) === word || ("." + plain(name)).slice(-word.length - 1) === "." + word;
      });
    }
    if (found.length && found.every(function (name) { return plain(name) === plain(found[0]); })) {
      return { names: found };
    }
    return { problem: found.length ? "'" + word + "' is one of " + found.join(", ")
      : "no setting is called '" + word + "': " + names.join(", ") };
  }

  // What a line must meet, or what is wrong with the text.
  function parsed(text, about) {
    var table = trm.table, own = table ? table.names : [];
    var names = own.concat([about.axes[about.axes.length - 1], "trial"]);
    var found = { tests: [], problem: "" };
    if (!text.trim()) { return found; }
    text.split(/\s+and\s+|\s*,\s+/i).forEach(function (part) {
      var match = CONDITION.exec(part), at;
      if (!match || !match[3]) {
        found.problem = found.problem || "'" + part.trim() +
          "' is no condition: write a setting, one of < <= = != >= >, and a value";
        return;
      }
      at = named(match[1], names);
      if (at.problem) { found.problem = found.problem || at.problem; return; }
      found.tests.push(function (line) {
        var value = at.names[0] === "trial" ? line.trial : line.score, settings;
        if (own.indexOf(at.names[0]) >= 0) {
          settings = values(line.trial);
          value = at.names.map(function (name) { return settings[own.indexOf(name)]; })
            .filter(Boolean)[0] || "";
        }
        return compare(match[2], value, match[3]);
      });
    });
    return found;
  }

  function values(trial) {
    var one = trm.table && trm.table.trials[trial];
    return one ? one.v.split("\t") : [];
  }

  // --- a figure before it is drawn --------------------------------------------------------------

  trm.sift = function (figure, name) {
    var about = figure.layout.meta;
    if (!about || !about.axes) { return; }
    var own = state(name), filter = parsed(own.text, about), out = { x: [], y: [] };
    var brushed = Object.keys(own.brushes);
    own.kept = own.of = 0;
    own.best = null;
    own.problem = filter.problem;
    figure.data.forEach(function (trace) {
      if (!trace.meta || !trace.meta.lines) { return; }
      var length = about.axes.length + 1, kept = { x: [], y: [], lines: [] };
      trace.meta.lines.forEach(function (trial, index) {
        var x = trace.x.slice(index * length, (index + 1) * length);
        var y = trace.y.slice(index * length, (index + 1) * length);
        var end = x[about.axes.length - 1];
        var line = { trial: trial, score: about.low + end * (about.high - about.low) };
        var meets = brushed.every(function (row) {
          var brush = own.brushes[row];
          return x[row] >= brush[0] - SPREAD && x[row] <= brush[1] + SPREAD;
        }) && (filter.problem || filter.tests.every(function (test) { return test(line); }));
        own.of += 1;
        if (meets) {
          own.kept += 1;
          kept.x = kept.x.concat(x);
          kept.y = kept.y.concat(y);
          kept.lines.push(trial);
          if (own.best === null || (line.score - own.best) * about.better > 0) {
            own.best = line.score;
          }
        } else {
          out.x = out.x.concat(x);
          out.y = out.y.concat(y);
        }
      });
      trace.x = kept.x;
      trace.y = kept.y;
      trace.meta.lines = kept.lines;
    });
    if (out.x.length) {
      figure.data.push({ type: "scatter", mode: "lines", x: out.x, y: out.y, hoverinfo: "skip",
        showlegend: false, name: "left out", line: { color: "rgba(128,128,128,0.16)", width: 1 } });
    }
    brushed.forEach(function (row) {
      var brush = own.brushes[row];
      figure.layout.shapes = (figure.layout.shapes || []).concat([{ type: "rect",
        x0: brush[0], x1: brush[1], y0: Number(row) - 0.13, y1: Number(row) + 0.13,
        line: { width: 1, color: "rgba(0,114,178,0.9)" }, fillcolor: "rgba(0,114,178,0.3)" }]);
    });
  };

  // --- the bar above it, and the pointer on it --------------------------------------------------

  function again(box) {
    document.dispatchEvent(new CustomEvent("trm-again", { detail: box }));
  }

  function made(tag, kind, parent) {
    var one = document.createElement(tag);
    if (kind) { one.className = kind; }
    parent.appendChild(one);
    return one;
  }

  function bar(box, about) {
    var own = state(box.dataset.figure), found = box.previousElementSibling;
    if (!found || !found.classList.contains("sift")) {
      found = document.createElement("div");
      found.className = "sift";
      var label = made("label", "", found);
      label.append("show only ");
      var input = made("input", "", label);
      input.id = "sift-" + box.dataset.figure;
      input.type = "text";
      input.spellcheck = false;
      input.autocomplete = "off";
      input.placeholder = about.axes[about.axes.length - 1] + (about.better > 0 ? " > …" : " < …");
      input.value = own.text;
      input.addEventListener("input", function () { own.text = input.value; again(box); });
      var reset = made("button", "", found);
      reset.type = "button";
      reset.textContent = "reset";
      reset.addEventListener("click", function () {
        own.brushes = {};
        own.text = input.value = "";
        again(box);
      });
      made("output", "", found).setAttribute("aria-live", "polite");
      box.before(found);
    }
    var narrowed = own.text.trim() !== "" || Object.keys(own.brushes).length > 0;
    found.querySelector("button").disabled = !narrowed;
    found.querySelector("input").setAttribute("aria-invalid", String(Boolean(own.problem)));
    found.querySelector("output").textContent = own.problem ? own.problem
      : !narrowed ? "or draw along an axis"
      : own.kept + " of " + own.of + " configs" + (own.kept
        ? ", best " + about.axes[about.axes.length - 1] + " " + Number(own.best.toPrecision(4))
        : "");
  }

  // Where the pointer is, in the figure's own numbers: [place along an axis, row].
  function at(box, event) {
    var inside = box.getBoundingClientRect(), full = box._fullLayout;
    return [
      full.xaxis.p2d(event.clientX - inside.left - full.xaxis._offset),
      full.yaxis.p2d(event.clientY - inside.top - full.yaxis._offset)
    ];
  }

  function brush(box, rows) {
    var own = state(box.dataset.figure), begun = null;
    box.addEventListener("pointerdown", function (event) {
      var place = at(box, event), row = Math.round(place[1]);
      trm.brushed = false;
      if (event.button || row < 0 || row >= rows() || Math.abs(place[1] - row) > NEAR) { return; }
      begun = { row: row, from: place[0], x: event.clientX, id: event.pointerId };
    });
    function move(event) {
      if (!begun || event.pointerId !== begun.id) { return; }
      if (!trm.brushed && Math.abs(event.clientX - begun.x) < LEAST) { return; }
      trm.brushed = true;
      var to = at(box, event)[0];
      own.brushes[begun.row] = [Math.min(begun.from, to), Math.max(begun.from, to)];
      again(box);
    }
    function end(event) {
      if (!begun || event.pointerId !== begun.id) { return; }
      var hovered = box._hoverdata && box._hoverdata.length;
      // A click on an axis, on none of the lines, takes its brush away.
      if (event.type === "pointerup" && !trm.brushed && !hovered && own.brushes[begun.row]) {
        delete own.brushes[begun.row];
        again(box);
      }
      begun = null;
    }
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", end);
    document.addEventListener("pointercancel", end);
  }

  document.addEventListener("trm-drawn", function (event) {
    var box = event.detail, about = box.layout && box.layout.meta;
    if (!about || !about.axes) { return; }
    bar(box, about);
    if (box.dataset.sifts) { return; }
    box.dataset.sifts = "yes";
    brush(box, function () { return box.layout.meta.axes.length; });
  });
})();
