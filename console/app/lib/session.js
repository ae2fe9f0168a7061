// Who is signed in. The key lives in this tab's own storage and goes with the tab; it is never sent, only signed with.

const NAME = "tidegate-key";

/** @typedef {{ key: string, secret: string, tenant: string, isOperator: boolean, region: string }} Session */

/** @type {Session | null} */
let current = read();

function read() {
  try {
    const session = JSON.parse(sessionStorage.getItem(NAME) ?? "null");
    return session?.key && session?.secret ? session : null;
  } catch {
    return null;
  }
}

export const session = () => current;

/** @param {Session} session */
export function begin(session) {
  current = session;
  sessionStorage.setItem(NAME, JSON.stringify(session));
}

export function end() {
  current = null;
  sessionStorage.removeItem(NAME);
}

/** Which door shows this page, and what stands before its paths (a proxy's prefix). */
export const door = document.body.dataset.door;
export const isAdminDoor = door === "admin";
export const hasViewer = document.body.dataset.viewer === "yes";
export const version = document.body.dataset.version ?? "";
export const prefix = location.pathname.replace(/\/-\/console\/.*$/, "");

/** What is put before the path of a request to the S3 door, and not signed. */
export const wayToS3 = isAdminDoor ? "/-/s3" : "";

/** The S3 door as other programs reach it, for links and hints; null: it is closed, and this page's own door is the only way. */
export function endpoint() {
  if (!isAdminDoor) return `${location.origin}${prefix}`;
  const [scheme, port] = (document.body.dataset.s3 ?? "").split(":");
  const host = location.hostname.includes(":") ? `[${location.hostname.replace(/^\[|\]$/g, "")}]` : location.hostname;
  return port ? `${scheme}://${host}:${port}` : null;
}
