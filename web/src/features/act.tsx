import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import { ApiProblem, newKey, Unreachable } from "@/shared/api/client";
import { serverNow } from "@/shared/clock";
import { Button } from "@/shared/ui/Button";
import { Dialog } from "@/shared/ui/Dialog";
import { useScope } from "@/shell/scope";
import { StepUp } from "./StepUp";

/** Why something was not done, in words; where nobody answered, that this is not known. */
export function Refusal({ error }: { error: Error }) {
  const fields = error instanceof ApiProblem ? (error.said.errors ?? []) : [];
  return (
    <div role="alert" className="text-warn">
      <p>
        {error instanceof Unreachable
          ? "Unknown whether it was done: look at its state before you try again."
          : `${error.message[0]?.toUpperCase() ?? ""}${error.message.slice(1)}${/[.!?]$/.test(error.message) ? "" : "."}`}
      </p>
      {fields.length > 0 && error.message !== `${fields[0]?.where}: ${fields[0]?.message}` ? (
        <ul>
          {fields.map((one) => (
            <li key={`${one.where} ${one.message}`}>
              {one.where}: {one.message}
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}

/** An act of a person: every attempt at it has the same key, and where it takes a proof of identity it goes on with it. */
export function useAct<V, T>(act: (vars: V, key: string) => Promise<T>, onDone?: (answer: T, vars: V) => void) {
  const kept = useRef<{ about: string; key: string } | null>(null);
  const [proves, setProves] = useState(false);
  const made = useMutation({
    mutationFn: (vars: V) => {
      const about = JSON.stringify(vars) ?? "";
      if (kept.current?.about !== about) kept.current = { about, key: newKey() };
      return act(vars, kept.current.key);
    },
    onMutate: () => setProves(false),
    onSuccess: (answer, vars) => {
      kept.current = null;
      onDone?.(answer, vars);
    },
    onError: (error) => {
      if (error instanceof Unreachable) return; // whether it was done is not known: the next attempt is the same act
      kept.current = null;
      setProves(error instanceof ApiProblem && error.code === "step_up");
    },
  });
  const said: ReactNode = proves ? (
    <StepUp onDone={() => made.mutate(made.variables as V)} />
  ) : made.error ? (
    <Refusal error={made.error} />
  ) : null;
  return { run: made.mutate, pending: made.isPending, data: made.data, reset: made.reset, proves, said };
}

type AskProps<T> = {
  name: string;
  title: string;
  /** What it does, and what it does not. */
  lines: readonly ReactNode[];
  verb: string;
  why?: string | undefined;
  kind?: "plain" | "safety";
  act: (key: string) => Promise<T>;
  onDone?: () => void;
  /** What came of it, where that is to be read before the dialog closes. */
  shown?: (answer: T) => ReactNode;
  children?: ReactNode;
};

/** A button whose act is said in full before it is done. */
export function AskFirst<T>(props: AskProps<T>) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button why={props.why} onClick={() => setOpen(true)} aria-label={props.title}>
        {props.name}
      </Button>
      {open ? <Asked {...props} onClose={() => setOpen(false)} /> : null}
    </>
  );
}

function Asked<T>(props: AskProps<T> & { onClose: () => void }) {
  const cancel = useRef<HTMLButtonElement>(null);
  const act = useAct(
    (_: null, key) => props.act(key),
    () => {
      props.onDone?.();
      if (props.shown === undefined) props.onClose();
    },
  );
  return (
    <Dialog
      open
      onOpenChange={(open) => (open ? undefined : props.onClose())}
      title={props.title}
      onOpenAutoFocus={(event) => {
        event.preventDefault();
        cancel.current?.focus();
      }}
    >
      <div className="grid gap-3">
        {act.data !== undefined && props.shown ? (
          props.shown(act.data)
        ) : (
          <>
            {props.lines.map((line, n) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: these lines never change places
              <p key={n}>{line}</p>
            ))}
            {props.children}
            {act.said}
          </>
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <Button ref={cancel} onClick={props.onClose}>
            {act.data !== undefined ? "Close" : "Cancel"}
          </Button>
          {act.data === undefined ? (
            <Button
              kind={props.kind === "safety" ? "safety" : "primary"}
              disabled={act.pending || act.proves}
              onClick={() => act.run(null)}
            >
              {act.pending ? "Sent, waiting for the server" : props.verb}
            </Button>
          ) : null}
        </div>
      </div>
    </Dialog>
  );
}

const FRESH_MS = 290_000; // five minutes, less what a request takes

/** Shows what takes a fresh proof of identity to be read at all: asks for one first, and never for nothing. */
export function Proven({ children }: { children: ReactNode }) {
  const { me } = useScope();
  const [proved, setProved] = useState(false);
  const fresh = me.stepped_up_at !== null && serverNow() - new Date(me.stepped_up_at).getTime() < FRESH_MS;
  return fresh || proved ? children : <StepUp onDone={() => setProved(true)} />;
}

/** Text that is shown this once, to be kept. */
export function Once({ text, name }: { text: string; name: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <div className="flex flex-wrap items-start gap-2 rounded-control border border-accent px-3 py-2">
      <code className="mr-auto min-w-0 break-all whitespace-pre-wrap">{text}</code>
      <Button
        onClick={() =>
          void navigator.clipboard?.writeText(text).then(
            () => setCopied(true),
            () => setCopied(false),
          )
        }
        aria-label={`Copy ${name}`}
      >
        {copied ? "Copied" : "Copy"}
      </Button>
    </div>
  );
}
