#!/bin/bash
# A training over two machines under Slurm, submitted in the repository's folder, which all machines share: sbatch docs/slurm.sh
# An example for your cluster: it has not been run. Set account, partition, GPUs and time as your cluster wants them.
#SBATCH --job-name=alexnet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120

set -euo pipefail
. .venv/bin/activate

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname -I | awk '{print $1}'):29400

# One task on each machine: DVC on the first, where MLflow and the checkpoints are, and a node on the others.
srun --kill-on-bad-exit=0 bash -c '
  if [ "$SLURM_NODEID" = 0 ]; then
    exec dvc exp run -S machine.nodes="$SLURM_NNODES" -S machine.address="$1"
  else
    exec python -m workflow.node "$1"
  fi
' node "$address"
