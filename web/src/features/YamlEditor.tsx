import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, highlightActiveLine, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef, useState } from "react";
import type { Layout } from "./layout";
import { keyAt, type Path, placeAt } from "./yaml-place";
import { type Doc, docAt, keysAt, valuesAt } from "./yaml-schema";

export type Mark = { line: number; column: number | null; message: string };
type Props = {
  /** What the text is shown against. */
  original: string;
  start: string;
  layout: Layout;
  marks?: readonly Mark[];
  /** JSON schema of a document, for completion and what a key means. */
  schema?: unknown;
  readOnly: boolean;
  /** Only what differs, with a few lines around it. */
  folded?: boolean;
  names: { original: string; text: string };
  onChange?: (text: string) => void;
};

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.content], color: "var(--fg)" },
  { tag: tags.comment, color: "var(--muted)" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--muted)" },
  { tag: tags.keyword, color: "var(--shadow)" },
]);

function mark(colour: string): string {
  return `linear-gradient(var(${colour}), var(${colour})) bottom / 100% 2px no-repeat`;
}

const LOOK = EditorView.theme({
  "&": { backgroundColor: "var(--bg)", color: "var(--fg)", fontSize: "12px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--bg)", color: "var(--muted)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-content": { caretColor: "var(--fg)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", color: "var(--fg)" },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--gain) 14%, transparent) !important" },
  ".cm-deletedChunk": { backgroundColor: "color-mix(in srgb, var(--loss) 14%, transparent)" },
  "&.cm-merge-a .cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--loss) 14%, transparent) !important" },
  "& .cm-changedText, &.cm-merge-b .cm-changedText": { background: mark("--gain") },
  "& .cm-deletedChunk .cm-deletedText, &.cm-merge-a .cm-changedText": { background: mark("--loss") },
  "& .cm-changedLineGutter, &.cm-merge-b .cm-changedLineGutter": { background: "var(--gain)" },
  "& .cm-deletedLineGutter, &.cm-merge-a .cm-changedLineGutter": { background: "var(--loss)" },
  ".cm-collapsedLines::before, .cm-collapsedLines::after": { content: "none" },
  ".cm-collapsedLines": { background: "var(--raised)", color: "var(--muted)", padding: "2px 8px" },
  ".cm-takeBack": {
    float: "right",
    padding: "0 8px",
    lineHeight: "20px",
    borderRadius: "6px",
    border: "1px solid var(--line)",
    backgroundColor: "var(--raised)",
    color: "var(--fg)",
    fontFamily: "var(--font-sans)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    backgroundColor: "var(--accent)",
    color: "var(--on-accent)",
  },
  ".cm-completionDetail": { fontStyle: "normal", opacity: "0.8" },
});

/** A document as YAML against another: completion and meaning of keys by where they stand, findings at their lines. */
export default function YamlEditor(props: Props) {
  const { original, start, layout, marks, readOnly, folded = false } = props;
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const text = useRef(start); // stays when the editor is built anew
  const told = useRef(props);
  told.current = props;
  const [caret, setCaret] = useState<Path | null>(null);

  useEffect(() => {
    if (box.current === null) return;
    const collapsed = folded ? { collapseUnchanged: { margin: 3, minSize: 5 } } : {};
    const common = (label: string, fixed: boolean): Extension[] => [
      lineNumbers(),
      bracketMatching(),
      syntaxHighlighting(COLOURS),
      yaml(),
      EditorState.readOnly.of(fixed),
      EditorView.contentAttributes.of({ "aria-label": label }),
      hoverTooltip((at, pos) => hovered(at, pos, told.current.schema)),
      LOOK,
    ];
    const edited: Extension[] = [
      ...common(told.current.names.text, readOnly),
      history(),
      indentOnInput(),
      readOnly ? [] : highlightActiveLine(),
      lintGutter(),
      autocompletion({ icons: false, override: [(at) => complete(at, told.current.schema)] }),
      keymap.of([...defaultKeymap, ...historyKeymap]),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) {
          text.current = update.state.doc.toString();
          told.current.onChange?.(text.current);
        }
        if (update.docChanged || update.selectionSet) {
          setCaret(keyAt(update.state.doc.toString(), update.state.selection.main.head)?.path ?? null);
        }
      }),
    ];
    const merged =
      layout === "split"
        ? new MergeView({
            parent: box.current,
            a: { doc: original, extensions: common(told.current.names.original, true) },
            b: { doc: text.current, extensions: edited },
            gutter: true,
            ...(readOnly ? {} : { revertControls: "a-to-b" as const, renderRevertControl: () => takeBack("→") }),
            ...collapsed,
          })
        : null;
    const made =
      merged?.b ??
      new EditorView({
        parent: box.current,
        state: EditorState.create({
          doc: text.current,
          extensions: [
            ...edited,
            unifiedMergeView({
              original,
              gutter: true,
              mergeControls: readOnly
                ? false
                : (type, act) => (type === "reject" ? takeBack("Take back", act) : nothing()),
              ...collapsed,
            }),
          ],
        }),
      });
    // what scrolls must be within reach of the keyboard
    if (merged) merged.dom.tabIndex = merged.a.scrollDOM.tabIndex = 0;
    made.scrollDOM.tabIndex = 0;
    view.current = made;
    return () => (merged ?? made).destroy();
  }, [original, layout, readOnly, folded]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: an editor that is built anew has no marks yet
  useEffect(() => {
    const editor = view.current;
    if (editor === null || marks === undefined) return;
    const found: Diagnostic[] = marks.map((one) => {
      const line = editor.state.doc.line(Math.min(Math.max(one.line, 1), editor.state.doc.lines));
      const from = Math.min(line.from + Math.max((one.column ?? 1) - 1, 0), line.to);
      return { from, to: Math.max(line.to, from), severity: "error", message: one.message };
    });
    editor.dispatch(setDiagnostics(editor.state, found));
  }, [marks, original, layout]);
  const doc = caret && props.schema ? docAt(props.schema, caret) : null;
  return (
    <div className="grid gap-1">
      <div ref={box} data-layout={layout} className="yaml overflow-hidden rounded-control border border-line" />
      {props.schema ? (
        <p className="min-h-8 text-meta text-muted" data-meaning>
          {doc && caret ? (
            <>
              <code className="text-fg">{caret.filter((one) => typeof one === "string").join(".")}</code> {words(doc)}
            </>
          ) : (
            "What the key at the cursor means is said here; Ctrl Space lists what may stand there."
          )}
        </p>
      ) : null}
    </div>
  );
}

function words(doc: Doc): string {
  const first = [doc.type, doc.unit, doc.standard === "" ? "" : `${doc.standard} where nothing is said`];
  return [first.filter(Boolean).join(", "), doc.said].filter(Boolean).join(". ");
}

function complete(at: CompletionContext, schema: unknown): CompletionResult | null {
  const place = placeAt(at.state.doc.toString(), at.pos);
  if (place === null || (place.from === at.pos && !at.explicit)) return null;
  const values = (): Completion[] =>
    valuesAt(schema, place.path).map((one) => ({ label: one.text, detail: one.detail, type: "enum" }));
  const keys = (): Completion[] =>
    keysAt(schema, place.path, place.taken).map((one) => ({
      label: one.name,
      type: "property",
      detail: [one.required ? "needed" : "", one.doc.unit, one.doc.standard].filter(Boolean).join(" · "),
      info: () => said(words(one.doc)),
      boost: one.required ? 1 : 0,
      apply: place.keyed ? one.name : `${one.name}: `,
    }));
  const options = place.at === "key" ? keys() : values();
  return options.length === 0 ? null : { from: place.from, to: place.to, options, validFor: /^[\w.-]*$/ };
}

function hovered(at: EditorView, pos: number, schema: unknown) {
  const found = keyAt(at.state.doc.toString(), pos);
  const doc = found && docAt(schema, found.path);
  if (!found || !doc || pos > found.to) return null;
  return { pos: found.from, end: found.to, above: true, create: () => ({ dom: said(words(doc)) }) };
}

function said(text: string): HTMLElement {
  const dom = document.createElement("div");
  dom.className = "max-w-96 px-2 py-1 font-sans text-meta whitespace-normal";
  dom.textContent = text;
  return dom;
}

/** Puts back what stood there. */
function takeBack(name: string, act?: (event: MouseEvent) => void): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "cm-takeBack";
  button.textContent = name;
  button.setAttribute("aria-label", "Take back this change");
  if (act) button.onmousedown = act;
  button.onclick = (event) => {
    if (event.detail === 0) button.dispatchEvent(new MouseEvent("mousedown", { bubbles: true })); // by the keyboard
  };
  return button;
}

function nothing(): HTMLElement {
  return document.createElement("span");
}
