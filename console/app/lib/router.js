// Addresses after the #, and the views they name. A view is loaded when it is first opened.

/** @typedef {{ name: string, section: string, title: string, query: URLSearchParams, parts: string[], view: (found: any) => Promise<any> }} Found */

export const places = [
  { path: "buckets", name: "Buckets", icon: "bucket" },
  { path: "activity", name: "Activity", icon: "events" },
  { path: "jobs", name: "Jobs", icon: "jobs" },
  { path: "usage", name: "Usage", icon: "usage" },
  { path: "temporary", name: "Keys", icon: "key", tenant: true },
  { path: "traffic", name: "Traffic", icon: "activity", operator: true },
  { path: "tenants", name: "Tenants", icon: "users", operator: true },
  { path: "keys", name: "Keys", icon: "key", operator: true },
  { path: "system", name: "System", icon: "settings", operator: true },
];

const VIEWS = {
  buckets: async () => (await import("../views/buckets.js")).buckets,
  b: async () => (await import("../views/browser.js")).browser,
  settings: async () => (await import("../views/settings.js")).settings,
  activity: async () => (await import("../views/activity.js")).activity,
  jobs: async () => (await import("../views/jobs.js")).jobs,
  usage: async () => (await import("../views/usage.js")).usage,
  temporary: async () => (await import("../views/temporary.js")).temporary,
  traffic: async () => (await import("../views/traffic.js")).traffic,
  tenants: async () => (await import("../views/tenants.js")).tenants,
  keys: async () => (await import("../views/keys.js")).keys,
  system: async () => (await import("../views/system.js")).system,
};

/** @param {string} hash @returns {Found} */
export function route(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...parts] = path.split("/").map(decodeURIComponent);
  const known = VIEWS[name] ? name : "buckets";
  const section = known === "b" || known === "settings" ? "buckets" : known;
  const title = parts[0] ?? places.find((place) => place.path === section)?.name ?? "Buckets";
  return { name: known, section, title, parts, query: new URLSearchParams(search), view: async (found) => (await VIEWS[known]())(found) };
}

/** The address of a folder, or of an object in it. */
export function placeOf(bucket, { prefix = "", object = "", versions = false } = {}) {
  const query = new URLSearchParams();
  if (prefix) query.set("prefix", prefix);
  if (object) query.set("object", object);
  if (versions) query.set("versions", "1");
  const search = query.toString();
  return `#/b/${encodeURIComponent(bucket)}${search ? `?${search}` : ""}`;
}
