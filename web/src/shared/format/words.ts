/** What a server says in passing, as a sentence among others; a name it begins with stays as it is. */
export function sentence(text: string): string {
  if (text === "") return "";
  const said = text.replace(/^[a-z](?=[a-z]*([ ,;.!?]|$))/, (first) => first.toUpperCase());
  return /[.!?]$/.test(said) ? said : `${said}.`;
}
