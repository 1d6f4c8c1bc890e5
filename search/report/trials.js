// What a page says of its trials: hovering over a point, and one trial's curve, findings and YAML.
(function () {
  "use strict";
  var FULL = 8;  // settings that hovering shows
  var held = document.getElementById("figure-trials");
  var trm = window.trm = {
    table: null, describe: describe, fill: function () {}, sift: function () {}, brushed: false
  };
  if (!held) { return; }

  function table() {
    // A page that is served writes it anew.
    var text = document.getElementById("figure-trials").textContent;
    if (text !== table.text) { table.text = text; trm.table = JSON.parse(text); }
    return trm.table;
  }
  function plain(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  // The settings of a trial that are not the file's defaults: [name, value, default].
  function differs(id) {
    var all = table(), one = all.trials[id];
    if (!one) { return []; }
    var own = one.v.split("\t"), base = all.base.split("\t");
    return all.names.map(function (name, at) { return [name, own[at], base[at]]; })
      .filter(function (each) { return each[1] !== "" && each[1] !== each[2]; });
  }

  function describe(id) {
    var all = table();
    var head = (id === all.winner ? (all.won ? "winner, " : "best so far, ") : "") + "trial " + id;
    var found = differs(id);
    var lines = found.slice(0, FULL).map(function (each) {
      return plain(each[0]) + " " + plain(each[1]) +
        (each[2] === "" ? "" : " (default " + plain(each[2]) + ")");
    });
    if (found.length > FULL) { lines.push("and " + (found.length - FULL) + " more"); }
    if (!found.length && all.trials[id]) { lines.push("your defaults"); }
    return ["<b>" + head + "</b>"].concat(lines).join("<br>");
  }

  // Hovering says a trial's settings, which stand on the page once for all figures.
  trm.fill = function (figure) {
    figure.data.forEach(function (trace) {
      if (trace.meta === "configs") {
        trace.hovertext = trace.customdata.map(function (one) {
          return describe(Array.isArray(one) ? one[0] : one);
        });
      } else if (trace.meta && trace.meta.lines) {
        var line = 0;
        trace.customdata = trace.x.map(function (at) {
          return at === null ? trace.meta.lines[line++] : trace.meta.lines[line];
        });
        trace.hovertext = trace.customdata.map(describe);
      }
    });
  };

  function trialAt(point) {
    var meta = point.data.meta;
    if (meta !== "configs" && !(meta && meta.lines)) { return null; }
    var one = point.customdata;
    return Array.isArray(one) ? one[0] : one;
  }

  document.addEventListener("trm-drawn", function (event) {
    var box = event.detail;
    if (box.dataset.clicks) { return; }
    box.dataset.clicks = "yes";
    box.on("plotly_click", function (event) {
      if (trm.brushed) { return; }  // the end of a drag
      var id = event.points.map(trialAt).filter(function (one) { return one !== null; })[0];
      if (id !== undefined && id >= 0) { location.hash = "trial-" + id; }
    });
  });

  // Every number of a trial in the page's words leads to it.
  var NUMBERS = /\b(trials? )(\d+(?:(?:, | and )(?:trial )?\d+)*)/gi;
  function link(root) {
    var walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    var found = [], node;
    while ((node = walker.nextNode())) {
      if (/trials? \d/i.test(node.data) &&
          !node.parentElement.closest("a, pre, code, summary, button, script, .plot")) {
        found.push(node);
      }
    }
    found.forEach(function (text) {
      var parts = document.createDocumentFragment(), last = 0;
      text.data.replace(NUMBERS, function (all, word, numbers, at) {
        numbers.replace(/\d+/g, function (number, offset) {
          if (Number(number) >= table().count) { return; }
          var begin = at + word.length + offset;
          parts.append(text.data.slice(last, begin));
          var anchor = document.createElement("a");
          anchor.href = "#trial-" + number;
          anchor.className = "trial";
          anchor.setAttribute("aria-label", "trial " + number);
          last = begin + number.length;
          anchor.textContent = text.data.slice(begin, last);
          parts.append(anchor);
        });
      });
      if (last) { parts.append(text.data.slice(last)); text.replaceWith(parts); }
    });
  }

  var dialog = document.createElement("dialog");
  dialog.id = "trial";
  dialog.setAttribute("aria-labelledby", "trial-title");
  document.body.appendChild(dialog);
  function make(tag, text, parent, kind) {
    var made = document.createElement(tag);
    if (text) { made.textContent = text; }
    if (kind) { made.className = kind; }
    (parent || dialog).appendChild(made);
    return made;
  }
  function block(id, title, text) {
    var code = make("div", "", dialog, "code"), bar = make("div", "", code, "bar");
    make("h3", title, bar, "of-code");
    var copy = make("button", "copy", bar);
    copy.type = "button";
    copy.dataset.copies = id;
    make("pre", text, code).id = id;
  }

  function show(id) {
    var all = table(), one = all.trials[id];
    dialog.replaceChildren();
    var close = make("button", "close", dialog, "close");
    close.type = "button";
    close.addEventListener("click", function () { dialog.close(); });
    make("h2", "Trial " + id, dialog).id = "trial-title";
    var whole = one && one.ended;
    if (whole) { told(id, one, all); } else {
      make("p", "The page holds curves and findings of the trials that matter most, " +
        "and this is none of them.", dialog, "says");
    }
    settings(id);
    var commands = [];
    var config = whole ? one.of : id;
    var given = config < 0 ? id : config;  // a trial of the defaults is no trial's config
    // What was never trained, no command makes a file of.
    var exports = all.infeasible.indexOf(given) < 0;
    if (exports) { commands.push("trm export " + all.run + " --trial " + given); }
    commands.push("trm logs " + all.run + " " + id);
    if (whole && config >= 0) {
      block("trial-yaml", "YAML: what differs from your defaults", one.yaml || "# nothing");
    }
    block("trial-commands", exports ? "Its whole YAML, and its log" : "Its log",
      commands.join("\n"));
    if (document.getElementById("live")) {
      var links = make("p", "", dialog);
      [["log", "its log"], ["config", "its YAML"]].forEach(function (each) {
        var anchor = make("a", each[1], links);
        anchor.href = "/trials/" + id + "/" + each[0];
        anchor.target = "_blank";
        anchor.rel = "noopener";
        links.append(" ");
      });
    }
    if (!dialog.open) { dialog.showModal(); }
    dialog.scrollTop = 0;
    if (whole) { curve(id, one, all); }
  }

  function told(id, one, all) {
    var config = one.of < 0 ? "your defaults" : one.of === id ? "" : "trial " + one.of + "'s config";
    var words = [one.stage, config, "seed " + one.seed, one.ended,
      one.score && all.column + " " + one.score].filter(Boolean).join(", ");
    link(make("p", words + ".", dialog, "says"));
    if (one.x.length) { make("div", "", dialog, "trial-plot").dataset.figure = "trial-curve"; }
    make("h3", "Findings");
    var list = make("ul", "", dialog, "found");
    (one.found.length ? one.found : ["nothing that the detectors look for"]).forEach(
      function (text) { make("li", text, list); });
  }

  function settings(id) {
    var found = differs(id);
    if (!found.length) { return; }
    make("h3", "Settings that differ from your defaults");
    var list = make("ul", "", dialog, "params");
    found.forEach(function (each) {
      var item = make("li", each[0] + " ", list);
      make("b", each[1], item);
      if (each[2] !== "") { item.append(" (default " + each[2] + ")"); }
    });
  }

  function curve(id, one, all) {
    var box = dialog.querySelector(".trial-plot");
    if (!box) { return; }
    var look = trm.look(box);
    var line = function (of, name, color, width, dash) {
      return { x: of.x, y: of.y, name: name, mode: "lines+markers", type: "scatter",
        line: { color: color, width: width, dash: dash }, marker: { size: 6, color: color },
        hovertemplate: "%{y:.4g} at %{x:.0%}<extra></extra>" };
    };
    var best = all.trials[all.winner];
    var lines = [line(one, "trial " + id, look.ink, 2.5, "solid")];
    if (best && best.x && best.x.length && all.winner !== id) {
      lines.unshift(line(best, (all.won ? "winner" : "best so far") + ", trial " + all.winner,
        look.winner, 1.5, "dot"));
    }
    Plotly.react(box, lines, look.layout, look.settings);
  }

  function follow() {
    var found = /^#trial-(\d+)$/.exec(location.hash);
    if (found) { show(Number(found[1])); } else if (dialog.open) { dialog.close(); }
  }
  dialog.addEventListener("close", function () {
    if (/^#trial-/.test(location.hash)) {
      // Back to where one was, without a jump to the top.
      history.replaceState(null, "", location.pathname + location.search);
    }
  });
  dialog.addEventListener("click", function (event) {
    if (event.target === dialog) { dialog.close(); }
  });
  window.addEventListener("hashchange", follow);
  document.addEventListener("trm-changed", function () { link(document.querySelector("main")); });
  trm.begin = function () {
    link(document.querySelector("main"));
    follow();
  };
})();
