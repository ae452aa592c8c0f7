package actors

import "github.com/asynkron/protoactor-go/actor"

// stopForGood is the supervision of actors that own a vote or a promise: they are never restarted in place, since an actor
// that forgot what it promised is worse than none.
type stopForGood struct{ report func(reason any) }

func (s *stopForGood) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	s.report(reason)
	supervisor.StopChildren(child)
}
