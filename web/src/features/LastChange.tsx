import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { approvalQuery, entriesQuery, registerQuery } from "@/shared/api/queries";
import { Time } from "@/shared/ui/Figure";
import { useScope } from "@/shell/scope";
import { kindWords, lastOf, placeOf, rowsOf, valueWords } from "./record";

type Props = {
  account: string;
  /** Whether a key of the configuration is one of what is looked at. */
  concerns: (path: string) => boolean;
};

/** Who changed something last, when and why, and who agreed; its entry in the record is one tap away. */
export function LastChange({ account, concerns }: Props) {
  const { firm, whyNot } = useScope();
  const may = whyNot("audit.read", account) === "";
  const changes = useQuery({
    ...registerQuery(firm, "limit-changes", { account: `${firm}/${account}` }),
    enabled: may && account !== "",
    staleTime: 60_000,
  });
  const last = changes.data ? lastOf(rowsOf(changes.data), concerns) : null;
  const request = String(last?.request ?? "");
  const asked = useQuery({ ...approvalQuery(firm, request), enabled: request !== "" });
  if (last === null) return null;
  const { data } = asked.data ?? {};
  const agreed = data?.votes.filter((one) => one.agrees).map((one) => one.actor) ?? [];
  const first = last.path === "";
  return (
    <p className="text-muted">
      {first ? "As it was when the account was first seen, " : "Last changed "}
      <Link
        to="/audit/$"
        params={{ _splat: placeOf({ chain_id: String(last.chain), seq: Number(last.seq) }) }}
        className="text-accent underline"
      >
        <Time at={String(last.at)} />
      </Link>{" "}
      by {String(last.by)}
      {first ? "" : `: ${String(last.path)} from ${valueWords(last.before)} to ${valueWords(last.after)}`}
      {data?.reason ? `, because: ${data.reason}` : ""}
      {request ? (
        <>
          {agreed.length > 0 ? `; agreed by ${agreed.join(", ")}` : ""} (
          <Link to="/approvals/$id" params={{ id: request }} className="text-accent underline">
            the request
          </Link>
          )
        </>
      ) : null}
      .
    </p>
  );
}

/** Where the record says that a configuration was taken over, by its hash. */
export function TakenOver({ account, hash }: { account: string; hash: string }) {
  const { firm, whyNot } = useScope();
  const id = account.split("/")[1] ?? "";
  const may = whyNot("audit.read", id) === "";
  const query = useInfiniteQuery({
    ...entriesQuery(firm, { account, named: hash, kind: ["CONFIG_ACCEPTED", "CONFIG_CHANGED"] }),
    enabled: may && hash !== "",
    staleTime: 60_000,
  });
  const entry = query.data?.pages.at(-1)?.items.at(-1);
  if (entry === undefined) return null;
  return (
    <p className="text-muted">
      {id}:{" "}
      <Link to="/audit/$" params={{ _splat: placeOf(entry.place) }} className="text-accent underline">
        {kindWords(entry.event_type)}, <Time at={entry.recorded_at} />
      </Link>{" "}
      by {entry.actor.id}.
    </p>
  );
}
