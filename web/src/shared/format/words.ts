/** What a server says in passing, as a sentence among others. */
export function sentence(text: string): string {
  if (text === "") return "";
  const said = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(said) ? said : `${said}.`;
}
