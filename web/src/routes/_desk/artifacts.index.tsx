import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { runsQuery } from "@/shared/api/queries";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/artifacts/")({ component: Artifacts });

function Artifacts() {
  const { firm, chosen } = useScope();
  const query = useQuery({ ...runsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Artifacts">
      <Panel title="By run">
        <Loaded
          query={query}
          height={240}
          empty={{ when: (d) => d.items.length === 0, why: "No artifacts under this filter: no run has left any." }}
        >
          {(data) => (
            <ul>
              {data.items
                .filter((one) => chosen === undefined || one.accounts.includes(`${firm}/${chosen}`))
                .map((one) => (
                  <li key={one.run_id} className="border-b border-line/60 last:border-0">
                    <Link
                      to="/runs/$id"
                      params={{ id: one.run_id }}
                      className="flex flex-wrap items-center gap-x-3 py-2 hover:bg-raised/50"
                    >
                      <span className="font-mono text-meta text-accent">{one.run_id}</span>
                      <span className="text-muted">
                        {one.kind}, <Time at={one.as_of} />
                      </span>
                    </Link>
                  </li>
                ))}
            </ul>
          )}
        </Loaded>
      </Panel>
    </Page>
  );
}
