import { Button } from "@/shared/ui/Button";
import { useCommand } from "@/shell/confirming";

/** A command behind a button, through its preview. */
export function CommandButton(props: {
  command: string;
  name: string;
  /** What it is about, for whoever does not see what stands around it; begins with the name. */
  label?: string;
  why?: string | undefined;
  kind?: "primary" | "plain";
}) {
  const ask = useCommand();
  return (
    <>
      <Button
        kind={props.kind ?? "plain"}
        why={props.why}
        command={props.command}
        aria-label={props.label}
        disabled={ask.isPending}
        onClick={() => ask.mutate(props.command)}
      >
        {props.name}
      </Button>
      {ask.isError ? <p role="alert">{ask.error.message}</p> : null}
    </>
  );
}
