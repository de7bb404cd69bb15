/** The file that a document means by a relative address, from its own place; null where it means none of its folder's run. */
export function besideOf(file: string, said: string | undefined): string | null {
  if (!said || /^([a-z][a-z0-9+.-]*:|\/|#|\\)/i.test(said)) return null;
  const parts = file.split("/").slice(0, -1);
  const root = parts.slice(0, 2).join("/");
  for (const part of said.replace(/[?#].*$/, "").split("/")) {
    const name = decoded(part);
    if (name === null || name.includes("/") || name.includes("\\")) return null;
    if (name === "..") parts.pop();
    else if (name !== "." && name !== "") parts.push(name);
  }
  const found = parts.join("/");
  return found.startsWith(`${root}/`) ? found : null;
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
