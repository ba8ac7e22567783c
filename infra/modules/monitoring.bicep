// Where the handler's log lines go: Application Insights over a Log Analytics workspace, new or existing.

@description('Region of both.')
param location string

@description('Tags of both.')
param tags object

@description('Name of the workspace, where a new one is made.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Id of an existing workspace; empty: a new one is made.')
param existingWorkspaceId string

@description('Days for which a new workspace keeps logs.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(260)
param componentName string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = if (empty(existingWorkspaceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

var workspaceId = empty(existingWorkspaceId) ? workspace.id : existingWorkspaceId

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspaceId
    // Telemetry only from an identity with the role Monitoring Metrics Publisher, so that the connection string opens
    // nothing (learn.microsoft.com/azure/azure-monitor/app/azure-ad-authentication).
    DisableLocalAuth: true
  }
}

@description('Id of the workspace.')
output workspaceId string = workspaceId

@description('Name of the Application Insights component.')
output componentName string = component.name

@description('Id of the Application Insights component.')
output componentId string = component.id
