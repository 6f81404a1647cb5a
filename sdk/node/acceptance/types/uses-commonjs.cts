import Orchestry = require('orchestry-client');

const client: Orchestry = new Orchestry('http://127.0.0.1:8001');

export function told(status: Orchestry.Answers.AppStatus): string {
  return `${status.kind} ${status.name}`;
}

export async function replicas(name: string): Promise<number> {
  try {
    return (await client.getAppStatus(name)).replicas.current;
  } catch (error) {
    if (error instanceof Orchestry.NotFound) return 0;
    throw error;
  }
}

// @ts-expect-error an answer has no such key
client.getHealth('web').then((health) => health.colour, () => '');
