// Asks the endpoints, and says on the page what went wrong. Nothing is decided here.

const tab = sessionStorage.getItem("tab") || crypto.randomUUID();
sessionStorage.setItem("tab", tab);
export const here = { tab };

export async function get(path) {
  return answer(await fetch(`/api/${path}`, { headers: { Accept: "application/json" } }));
}

export async function post(path, body) {
  return answer(await fetch(`/api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }));
}

export async function send(path, form) {
  return answer(await fetch(`/api/${path}`, { method: "POST", body: form }));
}

async function answer(response) {
  if (response.ok) return response.json();
  let reason = `the page's server answered ${response.status}`;
  try {
    const told = await response.json();
    reason = told.error || JSON.stringify(told.detail) || reason;
  } catch { /* no JSON: the status says it */ }
  throw new Error(reason);
}

let timer = 0;
export function say(text, lasting = false) {
  const place = document.getElementById("message");
  place.textContent = text;
  clearTimeout(timer);
  if (!lasting) timer = setTimeout(() => { place.textContent = ""; }, 6000);
}

// Runs what a person asked for; what goes wrong is said, and nothing else changes.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error instanceof TypeError
      ? "the page's server does not answer: is 'cliptune app' still running?" : error.message, true);
    return undefined;
  }
}

export const byId = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
