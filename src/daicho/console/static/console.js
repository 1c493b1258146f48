// What needs no answer from the server: the menu, the choices kept in cookies, the search, keys. Text is set as text.
(() => {
  const root = new URL(document.currentScript.src).pathname.replace(/\/_daicho\/console\.js$/, "");
  const keep = (name, value) =>
    (document.cookie = `daicho_${name}=${encodeURIComponent(value)}; path=${root || "/"}; max-age=31536000; samesite=strict`);
  const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const doing = {
    menu: () => document.body.classList.toggle("d-open"),
    choose: (b) => {
      keep(b.dataset.name, b.dataset.value === "here" ? zone() : b.dataset.value);
      const url = new URL(location.href);
      url.searchParams.delete(b.dataset.name);
      location.replace(url);
    },
    palette: (b) => palette(b),
    copy: (b) => navigator.clipboard?.writeText(b.dataset.text).then(() => {
      b.classList.add("d-copied");
      setTimeout(() => b.classList.remove("d-copied"), 1200);
    }),
  };
  document.addEventListener("click", (e) => {
    const b = e.target.closest?.("[data-do]");
    if (b && doing[b.dataset.do]) doing[b.dataset.do](b);
    document.querySelectorAll("details.d-pop[open]").forEach((d) => d.contains(e.target) || d.removeAttribute("open"));
    if (!e.target.closest?.(".d-nav,.d-menu")) document.body.classList.remove("d-open");
  });
  const palette = (b) => {
    document.getElementById("d-palette")?.remove();
    const box = Object.assign(document.createElement("dialog"), { id: "d-palette" });
    const input = Object.assign(document.createElement("input"), { placeholder: b.dataset.hint });
    input.setAttribute("aria-label", b.dataset.hint);
    const list = document.createElement("ul");
    const screens = JSON.parse(b.dataset.screens);
    let found = [], at = 0;
    const go = () => found[at] && (location.href = found[at].href);
    const draw = () => {
      const typed = input.value.trim(), low = typed.toLowerCase();
      found = screens.filter((s) => `${s.name} ${s.also}`.toLowerCase().includes(low));
      if (typed.length > 2) found.push({ name: `“${typed}”`, href: `${b.dataset.search}?q=${encodeURIComponent(typed)}`, keys: "" });
      at = Math.min(at, Math.max(0, found.length - 1));
      list.replaceChildren(...found.map((s, n) => {
        const li = document.createElement("li");
        li.textContent = s.name;
        li.setAttribute("aria-selected", n === at);
        if (s.keys) li.append(Object.assign(document.createElement("span"), { textContent: `g ${s.keys}` }));
        li.onclick = () => { at = n; go(); };
        return li;
      }));
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    input.oninput = () => { at = 0; draw(); };
    input.onkeydown = (e) => {
      if (e.key === "ArrowDown") at = Math.min(at + 1, found.length - 1);
      else if (e.key === "ArrowUp") at = Math.max(at - 1, 0);
      else if (e.key === "Enter") return go();
      else return;
      e.preventDefault();
      draw();
    };
    box.onclick = (e) => e.target === box && box.close();
    box.onclose = () => box.remove();
    box.append(input, list);
    document.body.append(box);
    box.showModal();
    draw();
  };
  let after = 0;
  document.addEventListener("keydown", (e) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || e.target.isContentEditable;
    const search = document.querySelector('[data-do="palette"]');
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") { e.preventDefault(); palette(search); return; }
    if (typing || e.ctrlKey || e.metaKey || e.altKey || !search) return;
    if (e.key === "/" || e.key === "?") { e.preventDefault(); palette(search); }
    else if (e.key === "g") after = Date.now();
    else if (Date.now() - after < 1500) {
      const to = JSON.parse(search.dataset.screens).find((s) => s.keys === e.key);
      after = 0;
      if (to) location.href = to.href;
    }
  });
})();
