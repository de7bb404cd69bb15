import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ApiProblem } from "@/shared/api/client";
import { registerQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { lastOfEach, placeOf, type RegisterRow as Row, rowsOf, valueWords } from "./record";

const FIRST = 10;

/** Who changed each key last, when, and with which request. */
export function KeyChanges({ keys }: { keys: string }) {
  const { firm, account = "", whyNot } = useScope();
  const navigate = useNavigate();
  const [all, setAll] = useState(false);
  const why = whyNot("audit.read", account);
  const query = useQuery({
    ...registerQuery(firm, "limit-changes", { account: `${firm}/${account}` }),
    enabled: account !== "" && why === "",
    retry: false,
  });
  const title = `Last change of each key of ${account}`;
  if (account === "") return null;
  if (why || hidden(query.error)) {
    return (
      <Panel title={title}>
        <p className="text-muted">{why || "Your role sees the record without its amounts, and keys are amounts."}</p>
      </Panel>
    );
  }
  return (
    <Panel title={title}>
      <Loaded query={query} height={120}>
        {(found) => {
          const last = lastOfEach(rowsOf(found));
          const rows = last.filter((one) => String(one.path).includes(keys.trim()));
          if (last.length === 0) return <Empty>No key has changed since the account was first seen.</Empty>;
          return (
            <div className="grid gap-3">
              <TextField
                label="Keys with"
                type="search"
                value={keys}
                maxLength={140}
                placeholder="risk.gross"
                onValue={(said) =>
                  void navigate({
                    to: "/configs",
                    search: ({ keys: _, ...rest }) => (said ? { ...rest, keys: said } : rest),
                    replace: true,
                    resetScroll: false,
                  })
                }
                className="max-w-80"
              />
              {found.truncated ? <p className="text-warn">Changes older than these are not sent.</p> : null}
              {rows.length === 0 ? (
                <p className="text-muted">No key that changed has this in its name.</p>
              ) : (
                <Table
                  label="Last change of each key, the newest first"
                  rows={all ? rows : rows.slice(0, FIRST)}
                  keyOf={(one) => String(one.path)}
                  columns={COLUMNS}
                  dense
                />
              )}
              {rows.length > FIRST && !all ? (
                <div>
                  <Button onClick={() => setAll(true)}>Show all {rows.length}</Button>
                </div>
              ) : null}
            </div>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function hidden(error: Error | null): boolean {
  return error instanceof ApiProblem && error.status === 404;
}

const COLUMNS: readonly Column<Row>[] = [
  { name: "Key", cell: (one) => <code className="text-meta">{String(one.path)}</code> },
  { name: "From", cell: (one) => valueWords(one.before), right: true, wide: true },
  { name: "To", cell: (one) => valueWords(one.after), right: true },
  {
    name: "When",
    cell: (one) => (
      <Link
        to="/audit/$"
        params={{ _splat: placeOf({ chain_id: String(one.chain), seq: Number(one.seq) }) }}
        className="whitespace-nowrap text-accent hover:underline"
      >
        <Time at={String(one.at)} />
      </Link>
    ),
  },
  { name: "By", cell: (one) => String(one.by), wide: true },
  {
    name: "Request",
    wide: true,
    cell: (one) =>
      one.request ? (
        <Link
          to="/approvals/$id"
          params={{ id: String(one.request) }}
          className="font-mono text-meta text-accent hover:underline"
        >
          {String(one.request)}
        </Link>
      ) : (
        <span className="text-muted">none</span>
      ),
  },
];
