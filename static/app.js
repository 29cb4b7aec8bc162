/* Everything here saves time and nothing depends on it: each action is also a plain link or form. */
(function () {
  "use strict";

  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const remembered = {
    get(key) { try { return localStorage.getItem(key); } catch (error) { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch (error) { /* not kept */ } },
    remove(key) { try { localStorage.removeItem(key); } catch (error) { /* nothing to remove */ } },
  };

  /* Toasts: short news that no page load brought */

  function toast(text) {
    const box = one("[data-toasts]");
    if (!box) return;
    const item = document.createElement("div");
    item.className = "toast";
    item.textContent = text;
    box.append(item);
    setTimeout(() => item.remove(), 6000);
  }

  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-dismiss]");
    if (close) close.closest(".banner, .toast").remove();
  });

  /* Appearance: the menu's choice is for this device, the profile's for all of them */

  function showTheme() {
    const now = document.documentElement.dataset.theme || "auto";
    all("[data-theme-set]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.themeSet === now)));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-set]");
    if (!button) return;
    const theme = button.dataset.themeSet;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    remembered.set("ticketflow-theme", theme);
    showTheme();
  });
  document.addEventListener("submit", (event) => {
    if (event.target.elements.theme) remembered.remove("ticketflow-theme");
  });
  showTheme();

  /* Menus open by themselves (<details>); here they close */

  document.addEventListener("click", (event) => {
    all("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && one("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    one("summary", menu).focus();
    event.preventDefault();
  });

  /* Dialogs: data-open="id" on a link to the page that shows the same */

  function openDialog(id) {
    const dialog = document.getElementById(id);
    if (!dialog || !dialog.showModal || dialog.open) return false;
    all("[popover]:popover-open").forEach((popover) => popover.hidePopover());
    dialog.showModal();
    return true;
  }

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener && openDialog(opener.dataset.open)) { event.preventDefault(); return; }
    const closer = event.target.closest("[data-close]");
    if (closer) { closer.closest("dialog").close(); return; }
    if (event.target.tagName === "DIALOG") {
      const box = event.target.getBoundingClientRect();
      const isOutside = event.clientY < box.top || event.clientY > box.bottom || event.clientX < box.left || event.clientX > box.right;
      if (isOutside) event.target.close();
    }
  });
  if (location.hash.length > 1) openDialog(location.hash.slice(1));

  /* data-confirm="question" on a form or its button; data-confirm-label names the deed */

  const confirmation = one("#confirm");
  let confirmed = null;
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    const asking = button && button.dataset.confirm ? button : form;
    if (!asking.dataset.confirm || !confirmation || !confirmation.showModal) return;
    if (confirmed === form) { confirmed = null; return; }
    event.preventDefault();
    one("[data-confirm-text]", confirmation).textContent = asking.dataset.confirm;
    one("[data-confirm-go]", confirmation).textContent = asking.dataset.confirmLabel || (button ? button.textContent.trim() : "Go on");
    confirmation.onclose = () => {
      if (confirmation.returnValue !== "go") {
        if (form.matches("[data-autosave]")) form.reset();
        return;
      }
      confirmed = form;
      form.requestSubmit(button);
    };
    confirmation.returnValue = "";
    confirmation.showModal();
  });

  /* data-autosave: the form is sent as soon as a field changes; an option may carry a data-confirm */

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (!form || !form.matches("[data-autosave]")) return;
    const option = event.target.selectedOptions && event.target.selectedOptions[0];
    form.dataset.confirm = (option && option.dataset.confirm) || "";
    form.dataset.confirmLabel = (option && option.dataset.confirmLabel) || "";
    form.requestSubmit();
  });

  /* A form is sent once, however often the button is pressed */

  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    const button = event.submitter;
    if (button) setTimeout(() => button.setAttribute("aria-busy", "true"));
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    all("form[data-sent]").forEach((form) => delete form.dataset.sent);
    all("[aria-busy=true].btn").forEach((button) => button.removeAttribute("aria-busy"));
  });

  /* Palette: shows what fits the words; Enter without a choice searches the tickets */

  const palette = one("#palette");
  if (palette) {
    const find = one("[data-palette]", palette);
    const shown = () => all(".menu-item", palette).filter((item) => !item.hidden);
    find.addEventListener("input", () => {
      const words = find.value.trim().toLowerCase();
      all(".menu-item", palette).forEach((item) => { item.hidden = !item.textContent.toLowerCase().includes(words); });
      all(".menu-label", palette).forEach((label) => { label.hidden = words !== ""; });
    });
    palette.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const items = [find, ...shown()];
      items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
    });
  }

  /* Ticket list: selection */

  const list = one("[data-list]");
  const boxes = () => all("tbody .box", list);
  if (list) {
    const count = one("[data-count]", list), every = one("[data-select-all]", list);
    const showSelection = () => {
      const chosen = boxes().filter((box) => box.checked).length;
      if (count) count.textContent = `${chosen} selected`;
      if (every) {
        every.checked = chosen > 0 && chosen === boxes().length;
        every.indeterminate = chosen > 0 && chosen < boxes().length;
      }
    };
    list.addEventListener("change", (event) => {
      if (event.target === every) boxes().forEach((box) => { box.checked = every.checked; });
      showSelection();
    });
    list.addEventListener("reset", () => setTimeout(showSelection));
    showSelection();
  }

  const currentBox = () => list && one(".tk-row.is-current .box", list);
  let lastPicked = null;

  function moveInList(step) {
    const rows = all("tbody .tk-row", list);
    if (!rows.length) return;
    const now = rows.findIndex((row) => row.classList.contains("is-current"));
    const next = rows[Math.max(0, Math.min(rows.length - 1, now + step))];
    if (now >= 0) rows[now].classList.remove("is-current");
    next.classList.add("is-current");
    one(".tk-subject", next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function pick(isRange) {
    const box = currentBox();
    if (!box) return;
    if (isRange && lastPicked) {
      const inOrder = boxes(), ends = [inOrder.indexOf(lastPicked), inOrder.indexOf(box)].sort((a, b) => a - b);
      inOrder.slice(ends[0], ends[1] + 1).forEach((other) => { other.checked = true; });
      box.dispatchEvent(new Event("change", { bubbles: true }));
    } else box.click();
    lastPicked = box;
  }

  /* Composer */

  const composer = one(".composer-box");
  const message = composer && one("textarea", composer);

  function writeAs(kind) {
    const choice = one(`[name=kind][value=${kind}]`, composer);
    if (choice) choice.click();
    message.focus();
  }

  if (composer) {
    const sendText = one("button [data-send-text]", composer);
    const showKind = () => {
      const kind = one("[name=kind]:checked", composer);
      if (!kind) return;
      if (sendText && kind.dataset.sendText) sendText.textContent = kind.dataset.sendText;
      if (kind.dataset.placeholder) message.placeholder = kind.dataset.placeholder;
    };
    composer.addEventListener("change", showKind);
    composer.addEventListener("click", (event) => {
      const button = event.target.closest("[data-md]");
      if (!button) return;
      const mark = button.dataset.md, start = message.selectionStart;
      const text = message.value.slice(start, message.selectionEnd);
      const marked = mark === "[]" ? `[${text}](https://)` : mark === "- " ? `\n- ${text}` : mark + text + mark;
      message.setRangeText(marked, start, message.selectionEnd, "end");
      message.focus();
    });
    showKind();
  }

  /* The forms beside the answer load the page anew; what is being written comes along. Any next page
     takes the draft away, so that it waits for nobody else. */

  const answer = one("form#reply");
  const draft = {
    take() {
      try {
        const kept = JSON.parse(sessionStorage.getItem("ticketflow-draft"));
        sessionStorage.removeItem("ticketflow-draft");
        return kept;
      } catch (error) { return null; }
    },
    keep(said) { try { sessionStorage.setItem("ticketflow-draft", JSON.stringify(said)); } catch (error) { /* not kept */ } },
  };

  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !answer || event.target === answer) return;
    const ticket = new URL("..", answer.action).href;
    const said = new FormData(answer);
    if (said.get("body") && event.target.action.startsWith(ticket)) draft.keep({ to: answer.action, kind: said.get("kind"), body: said.get("body") });
  });

  const kept = draft.take();
  if (kept && answer && kept.to === answer.action && !answer.elements.body.value) {
    answer.elements.body.value = kept.body;
    const choice = kept.kind && one(`[name=kind][value=${kept.kind}]`, answer);
    if (choice) choice.click();
  }

  /* Keys. A link or button names its own: data-key="e", or two in a row: data-key="g m". */

  const isTyping = (element) => element.isContentEditable ||
    (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) && !["checkbox", "radio"].includes(element.type));
  const keySwitch = one("[data-keys-switch]");
  const keysAreOff = () => remembered.get("ticketflow-keys") === "off";
  if (keySwitch) {
    keySwitch.checked = !keysAreOff();
    keySwitch.addEventListener("change", () => remembered.set("ticketflow-keys", keySwitch.checked ? "on" : "off"));
  }

  const ownKeys = {
    "?": () => openDialog("shortcuts"),
    "/": () => { const find = one("[data-find]") || one("#find"); if (find) find.focus(); },
    j: () => list && moveInList(1),
    k: () => list && moveInList(-1),
    x: () => list && pick(false),
    X: () => list && pick(true),
    r: () => composer && writeAs("reply"),
    n: () => composer && writeAs("note"),
  };
  let firstKey = "";

  function controlFor(key) {
    return all(`[data-key="${CSS.escape(key)}"]`).find((control) => control.href || control.offsetParent !== null);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return;
    const hasModifier = event.ctrlKey || event.metaKey;
    if (hasModifier && event.key.toLowerCase() === "k" && openDialog("palette")) { event.preventDefault(); return; }
    if (hasModifier && event.key === "Enter" && event.target.form) { event.preventDefault(); event.target.form.requestSubmit(); return; }
    if (hasModifier || event.altKey || isTyping(event.target) || one("dialog[open]") || keysAreOff()) return;
    if (event.key === "Escape" && list) { list.reset(); return; }
    if (event.key.length !== 1) return;

    const key = firstKey ? `${firstKey} ${event.key}` : event.key;
    firstKey = "";
    if (!list || !one("tbody .box:checked", list)) {
      // A bulk button is for the current row while nothing is selected.
      const box = currentBox();
      if (box && one(`.bulk [data-key="${CSS.escape(key)}"]`)) box.click();
    }
    const control = controlFor(key);
    if (control) { event.preventDefault(); control.focus(); control.click(); return; }
    if (one(`[data-key^="${CSS.escape(key)} "]`)) {
      firstKey = key;
      setTimeout(() => { firstKey = ""; }, 1200);
      return;
    }
    if (ownKeys[key]) { event.preventDefault(); ownKeys[key](); }
  });

  /* Copy. Without HTTPS there is no clipboard: then the old way, and at last the text is selected. */

  function select(element) {
    if (element.select) { element.select(); return; }
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const text = (source.value === undefined ? source.textContent : source.value).trim();
    let isCopied = false;
    try {
      await navigator.clipboard.writeText(text);
      isCopied = true;
    } catch (error) {
      select(source);
      isCopied = document.execCommand("copy");
    }
    toast(isCopied ? "Copied" : "Selected: press Ctrl C or ⌘ C to copy");
  });

  /* Fields */

  document.addEventListener("change", (event) => {
    const reveal = event.target.closest("[data-reveal]");
    if (reveal) document.getElementById(reveal.dataset.reveal).type = reveal.checked ? "text" : "password";
    if (event.target.type === "file") showFileNames(event.target);
  });

  function showFileNames(input) {
    const place = input.closest(".drop") || one(".composer-files", input.form) || input.parentElement;
    let names = one(".file-names", place);
    if (!names) {
      names = document.createElement("span");
      names.className = "file-names";
      place.append(names);
    }
    names.replaceChildren(...Array.from(input.files, (file) => {
      const chip = document.createElement("span"), name = document.createElement("b"), size = document.createElement("span");
      chip.className = "file-chip";
      name.textContent = file.name;
      size.textContent = file.size < 1048576 ? `${Math.ceil(file.size / 1024)} KB` : `${(file.size / 1048576).toFixed(1)} MB`;
      chip.append(name, size);
      return chip;
    }));
  }

  all(".drop").forEach((zone) => {
    const input = one("input[type=file]", zone);
    if (!input) return;
    const over = (event) => { event.preventDefault(); zone.classList.add("is-over"); };
    const away = () => zone.classList.remove("is-over");
    zone.addEventListener("dragenter", over);
    zone.addEventListener("dragover", over);
    zone.addEventListener("dragleave", away);
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      away();
      input.files = event.dataTransfer.files;
      showFileNames(input);
    });
  });

  // A browser knows its zone better than the form's default does, until the person has chosen.
  if (!one("[aria-invalid=true], [role=alert]")) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    all(".entry [name=time_zone], [data-guess-time-zone]").forEach((field) => {
      const isKnown = field.tagName !== "SELECT" || all("option", field).some((option) => option.value === zone);
      if (isKnown) field.value = zone;
    });
  }

  /* After a refused form: to the words that say why */

  const refusal = one("[role=alert][tabindex]") || one("[aria-invalid=true]");
  if (refusal) refusal.focus();
})();
