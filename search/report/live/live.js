// Asks the server that sent the page what has changed, and puts it in place.
(function () {
  "use strict";
  var EVERY = 2000;  // milliseconds between two questions
  var root = document.documentElement;
  var bar = document.getElementById("live");
  var version = Number(bar.dataset.version);
  var kept = {};     // the markup of each part as it came, before anything was drawn into it
  var waits = null;

  function parts(body) {
    var found = { "<header>": body.querySelector("header"), "<nav>": body.querySelector("nav"),
      "<footer>": body.querySelector("footer") };
    body.querySelectorAll("main > section").forEach(function (one) { found[one.id] = one; });
    return found;
  }
  function keep(found) {
    kept = {};
    Object.keys(found).forEach(function (id) { if (found[id]) { kept[id] = found[id].innerHTML; } });
  }
  keep(parts(document.body));

  // What a reader has set in a part outlives the part: open tables, how far they are scrolled, and
  // what is typed.
  function settings(part) {
    return {
      open: [].map.call(part.querySelectorAll("details"), function (one) { return one.open; }),
      at: [].map.call(part.querySelectorAll(".scroll"), function (one) {
        return [one.scrollLeft, one.scrollTop];
      }),
      typed: [].map.call(part.querySelectorAll("input, select"), function (one) {
        return [one.id, one.value];
      })
    };
  }
  function set(part, was) {
    part.querySelectorAll("details").forEach(function (one, i) { one.open = !!was.open[i]; });
    part.querySelectorAll(".scroll").forEach(function (one, i) {
      if (was.at[i]) { one.scrollLeft = was.at[i][0]; one.scrollTop = was.at[i][1]; }
    });
    was.typed.forEach(function (one) {
      var input = one[0] && document.getElementById(one[0]);
      if (input && part.contains(input)) { input.value = one[1]; }
    });
  }

  function put(old, fresh) {
    var was = settings(old);
    fresh.querySelectorAll(".plot").forEach(function (place) {
      var drawn = old.querySelector('.plot[id="' + place.id + '"]');
      if (!drawn) { return; }
      drawn.setAttribute("aria-label", place.getAttribute("aria-label"));
      drawn.style.height = place.style.height;
      place.replaceWith(drawn);
    });
    old.replaceChildren.apply(old, fresh.childNodes);
    set(old, was);
  }

  function framed(text) {
    var body = new DOMParser().parseFromString(text, "text/html").body;
    var now = parts(document.body), next = parts(body);
    var main = document.querySelector("main"), after = null;
    var had = kept;
    keep(next);
    Object.keys(now).forEach(function (id) {
      if (now[id] && !next[id]) { now[id].remove(); }
    });
    Object.keys(next).forEach(function (id) {
      if (!next[id]) { return; }
      if (!now[id]) {
        now[id] = document.adoptNode(next[id]);
      } else if (had[id] !== kept[id]) {
        put(now[id], next[id]);
      }
      if (id[0] !== "<") {  // sections stand in the order of the new page
        var place = after ? after.nextElementSibling : main.querySelector("section");
        if (now[id].parentNode !== main || place !== now[id]) { main.insertBefore(now[id], place); }
        after = now[id];
      }
    });
    var title = body.querySelector("h1");
    if (title) { document.title = title.textContent + ": live"; }
  }

  // What is looked at stays where it is: the first figure in sight, else the first part.
  function anchor() {
    var found = null;
    ["main > section, main > header", ".plot"].forEach(function (kind) {
      var seen = [].filter.call(document.querySelectorAll(kind), function (one) {
        var box = one.getBoundingClientRect();
        return box.bottom > 0 && box.top < window.innerHeight;
      })[0];
      if (seen) { found = [seen, seen.getBoundingClientRect().top]; }
    });
    return found;
  }

  function figures(texts) {
    Object.keys(texts).forEach(function (id) {
      var data = document.getElementById("figure-" + id);
      if (!data) {
        data = document.createElement("script");
        data.type = "application/json";
        data.id = "figure-" + id;
        document.body.appendChild(data);
      }
      data.textContent = texts[id];
    });
  }

  function apply(news) {
    var held = anchor();
    figures(news.figures);
    if (news.frame !== null) { framed(news.frame); }
    var redrawn = [].filter.call(document.querySelectorAll(".plot"), function (box) {
      return box.dataset.figure in news.figures || !box.classList.contains("js-plotly-plot");
    });
    document.dispatchEvent(new CustomEvent("trm-changed", { detail: redrawn }));
    if (held && held[0].isConnected) {
      window.scrollBy({ top: held[0].getBoundingClientRect().top - held[1], behavior: "instant" });
    }
    version = news.version;
    bar.dataset.version = String(version);
  }

  function say(text, state) {
    bar.querySelector("output").textContent = text;
    bar.dataset.state = state;
  }

  function ask() {
    clearTimeout(waits);
    // A page that nobody looks at asks nothing, and one that is being drawn takes nothing new.
    if (document.hidden) { return; }
    if (root.dataset.drawn !== "yes") { waits = setTimeout(ask, 100); return; }
    fetch("/changes?since=" + version, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error(String(answer.status)); }
      return answer.json();
    }).then(function (news) {
      if (news.version !== version) { apply(news); }
      say(news.says, news.problem ? "problem" : news.works ? "works" : "rests");
      waits = setTimeout(ask, EVERY);
    }).catch(function () {
      say("the server has ended: what you see is what it last said", "problem");
      waits = setTimeout(ask, 5 * EVERY);
    });
  }

  document.addEventListener("visibilitychange", ask);
  waits = setTimeout(ask, EVERY);
})();
